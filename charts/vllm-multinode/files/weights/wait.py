"""Wait in a pod, before vLLM starts, until the Job has filled the volume that all pods share."""

from __future__ import annotations

import signal
import sys

from folder import DownloadError, DownloadSpec, give_up, is_complete, wait_for


def main() -> None:
    """Wait until the directory that MULTINODE_WEIGHTS names is complete."""
    spec = DownloadSpec.read()
    try:
        wait_for(spec, lambda: is_complete(spec), "the download's Job fills it")
    except DownloadError as error:
        give_up(spec, error, note=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 ignores it otherwise
    main()
