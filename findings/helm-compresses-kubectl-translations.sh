#!/bin/bash
# Helm 4.3.1: each command compresses kubectl's translations before it begins, which takes longer than anything else.
#
# Guess: `helm version` and `helm template` do nothing with kubectl's messages, and a program is ready after some ms.
# Seen: Helm imports k8s.io/kubectl/pkg/cmd/get (0.37.1), whose texts are variables of the package. The first of them puts
#   both files of the language into a zip archive in memory, 350 kB for the default language, for gettext to read it from
#   there. That takes 18 ms on a slow core, 2.4 times as long as the next init function, in every run of helm. With a
#   language that has few translations, it takes 1.2 ms: LC_MESSAGES=ko_KR.UTF-8 has 6 kB. Without inlining (-gcflags=-l),
#   it takes 45 to 68 ms.
# For users: a test suite with 600 `helm template` saves ten seconds of processor time with that variable.
# Needs: Go 1.26 or newer, and some minutes to compile Helm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset LC_ALL LC_MESSAGES LANG
GOBIN=$folder GOFLAGS=-mod=mod go install helm.sh/helm/v4/cmd/helm@v4.3.1

# Print how many microseconds the fastest of ten runs has spent on initializing PACKAGE, with further variables.
micros() {
  local package=$1
  shift
  for _ in {1..10}; do env "$@" GODEBUG=inittrace=1 "$folder/helm" version 2>&1; done |
    awk -v package="$package" '$1 == "init" && $2 == package { print int($5 * 1000) }' | sort -n | head -n 1
}

default=$(micros k8s.io/kubectl/pkg/cmd/get)
korean=$(micros k8s.io/kubectl/pkg/cmd/get LC_MESSAGES=ko_KR.UTF-8)
second=$(micros github.com/santhosh-tekuri/jsonschema/v6)
echo "init of k8s.io/kubectl/pkg/cmd/get: $default us, and $korean us with ko_KR; the second longest: $second us"
if [ $((default)) -lt $((korean * 4)) ] || [ $((default)) -lt $((second * 3 / 2)) ]; then
  echo "changed: it was at least four times as long as with ko_KR, and 1.5 times as long as the second longest" >&2
  exit 1
fi
echo "as recorded"
