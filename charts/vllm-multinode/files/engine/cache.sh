# shellcheck shell=bash
# The folder of the caches: not on a filesystem that compilers can't share, and filled from a bundle when it is new.
# A bundle is what `vmn cache pack` writes: a folder with bundle.json, and the caches in cache/.

# Fail when the caches are on a network's filesystem: locks and renames of several pods' compilers go wrong there
# (DeepGEMM#301), and each of a start's thousands of small files is a round trip.
refuse_shared_cache() {
  local type
  type=$(stat -f -c %T /cache 2>/dev/null) || return 0
  case $type in
    nfs* | cifs | smb* | ceph | lustre | gpfs | afs | v9fs)
      [ "${MULTINODE_SHARED_FILESYSTEM:-no}" = yes ] ||
        fail "the cache is on $type, which pods share: use a disk of the node (cache.hostPath), or set cache.sharedFilesystem"
      ;;
  esac
}

# Print the value of a KEY of the bundle's description.
bundle_says() { sed -n -E "s/^ *\"$1\": \"(.*)\",?$/\1/p" "$MULTINODE_BUNDLE/bundle.json"; }

# Print the name of this pod's GPU, none without one.
gpu_name() {
  local name
  name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
  echo "${name:-none}"
}

# Fill the caches from the bundle, once; without a suitable one vLLM compiles, and that is said. Pods that share a node's
# cache wait for the first. Times stay: build tools compare them.
seed_cache() {
  [ -n "${MULTINODE_BUNDLE:-}" ] || return 0
  local marker=$MULTINODE_CACHE/.bundle key gpu created
  [ -r "$MULTINODE_BUNDLE/bundle.json" ] || {
    say "no bundle of caches: $MULTINODE_BUNDLE/bundle.json is not there (cache.bundle); this start compiles"
    return 0
  }
  mkdir -p "$MULTINODE_CACHE"
  key=$(bundle_says key) gpu=$(bundle_says gpu) created=$(bundle_says created)
  if [ "$key" != "${MULTINODE_CACHE##*/}" ] || [ "$gpu" != "$(gpu_name)" ]; then
    say "the bundle of caches is for $key on $gpu, and this is ${MULTINODE_CACHE##*/} on $(gpu_name): this start compiles"
    return 0
  fi
  (
    flock 9
    [ "$(cat "$marker" 2>/dev/null)" != "$created" ] || exit 0
    tar -C "$MULTINODE_BUNDLE/cache" --format=posix -cf - . |
      tar -C "$MULTINODE_CACHE" --skip-old-files --no-same-owner --no-same-permissions -xf - &&
      echo "$created" >"$marker" &&
      say "filled the caches from the bundle of $created in $SECONDS s"
  ) 9>"$MULTINODE_CACHE/.bundle.lock" || say "the bundle of caches could not be copied: this start compiles"
}
