# shellcheck shell=bash
# The cache directory. It must not be on a filesystem that compilers can't share, and a new one is filled from a cache
# bundle, which `vmn cache pack` writes: a directory with bundle.json, and with the caches in cache/.

# Fail if the cache is on a network filesystem. Locks and renames by compilers of several pods go wrong there
# (DeepGEMM#301), and a start writes thousands of small files, each of which costs a round trip.
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

# Print the value of a KEY in bundle.json.
bundle_says() { sed -n -E "s/^ *\"$1\": \"(.*)\",?$/\1/p" "$MULTINODE_BUNDLE/bundle.json"; }

# Print the name of this pod's GPU, or "none".
gpu_name() {
  local name
  name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
  echo "${name:-none}"
}

# Fill the cache from the bundle, once. Without a suitable bundle vLLM compiles, and the log says so. Pods that share
# the cache of a node wait for the first one. The files keep their times, as build tools compare them.
seed_cache() {
  [ -n "${MULTINODE_BUNDLE:-}" ] || return 0
  local marker=$MULTINODE_CACHE/.bundle key gpu created
  [ -r "$MULTINODE_BUNDLE/bundle.json" ] || {
    say "the cache bundle has no $MULTINODE_BUNDLE/bundle.json (cache.bundle): this start compiles"
    return 0
  }
  mkdir -p "$MULTINODE_CACHE"
  key=$(bundle_says key) gpu=$(bundle_says gpu) created=$(bundle_says created)
  if [ "$key" != "${MULTINODE_CACHE##*/}" ] || [ "$gpu" != "$(gpu_name)" ]; then
    say "the cache bundle is for $key on $gpu, but this is ${MULTINODE_CACHE##*/} on $(gpu_name): this start compiles"
    return 0
  fi
  (
    flock 9
    [ "$(cat "$marker" 2>/dev/null)" != "$created" ] || exit 0
    tar -C "$MULTINODE_BUNDLE/cache" --format=posix -cf - . |
      tar -C "$MULTINODE_CACHE" --skip-old-files --no-same-owner --no-same-permissions -xf - &&
      echo "$created" >"$marker" &&
      say "filled the caches from the bundle of $created in $SECONDS s"
  ) 9>"$MULTINODE_CACHE/.bundle.lock" || say "the cache bundle could not be copied: this start compiles"
}
