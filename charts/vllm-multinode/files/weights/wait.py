"""Wait in a pod, before vLLM starts, until the Job has filled the volume that all pods share."""

from __future__ import annotations

import signal
import sys

from folder import DownloadSpec, is_complete, run, wait_for


def main() -> None:
    """Wait until the directory that MULTINODE_WEIGHTS names is complete."""
    spec = DownloadSpec.read()
    run(spec, lambda: wait_for(spec, lambda: is_complete(spec), "the download's Job fills it"), note=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 ignores it otherwise
    main()
