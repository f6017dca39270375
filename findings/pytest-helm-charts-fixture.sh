#!/bin/bash
# pytest-helm-charts 1.3.5 with pytest 9.2.0: the fixture app_catalog_factory is not found any more.
#
# Guess: its plugin provides all fixtures that its documentation lists, with every pytest that it accepts (pytest >= 7).
# Seen: the fixture is wrapped in a `deprecated` decorator. pytest 9.0.2 finds it nevertheless, and 9.2.0 says
#   PytestWarning: cannot discover fixture 'app_catalog_factory' due to being wrapped in decorators
# in every run that loads the plugin. With `-W error`, collection ends with an internal error, before any test.
# For users: import the fixtures that you need, and switch the plugin off with `-p no:helm-charts`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'def test_one():\n    assert True\n' >"$folder/test_one.py"

# Print what pytest VERSION says of one test, with further options.
run_with() {
  local version=$1
  shift
  [ -d "$folder/$version" ] || {
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pytest==$version" pytest-helm-charts==1.3.5
  }
  (cd "$folder" && "$folder/$version/bin/python" -m pytest -q "$@" test_one.py 2>&1) || true
}

# Fail unless TEXT has the words that were seen.
expect() {
  grep -q "$2" <<<"$1" || { printf 'changed: no "%s" in:\n%s\n' "$2" "$1" >&2; exit 1; }
}

words="cannot discover fixture 'app_catalog_factory' due to being wrapped in decorators"
before=$(run_with 9.0.2 -W error)
expect "$before" "1 passed"
expect "$(run_with 9.2.0)" "$words"
expect "$(run_with 9.2.0 -W error)" "INTERNALERROR.*$words"
expect "$(run_with 9.2.0 -W error -p no:helm-charts)" "1 passed"
echo "as recorded"
