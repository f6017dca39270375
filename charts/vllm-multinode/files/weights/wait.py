"""Run in a pod before vLLM: wait until the Job has filled the volume that all pods share."""

from __future__ import annotations

import signal
import sys

from folder import Asked, Problem, give_up, is_complete, wait_for


def main() -> None:
    """Wait for what MULTINODE_WEIGHTS asks for."""
    asked = Asked.read()
    try:
        wait_for(asked, lambda: is_complete(asked), "the download's Job fills it")
    except Problem as problem:
        give_up(asked, problem, note=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 has no other way to end
    main()
