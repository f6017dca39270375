"""LeaderWorkerSet's controller, and with it its webhooks, away for a while: on a cluster of one's own only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kit.cluster import get, kubectl
from kit.progress import wait_until

NAMESPACE, NAME = "lws-system", "lws-controller-manager"
LIMIT = 120
"""Seconds."""


def leave() -> None:
    """End it, and wait until it is gone.

    Raises:
        TooLate: it stays.
    """
    kubectl("scale", f"deployment/{NAME}", "--replicas=0", namespace=NAMESPACE)
    wait_until("end of the controller", lambda: _pods() == 0, LIMIT)


def come_back() -> None:
    """Start it, and wait until it is available.

    Raises:
        ProgramFailed: it is not.
    """
    kubectl("scale", f"deployment/{NAME}", "--replicas=1", namespace=NAMESPACE)
    wait = f"--timeout={LIMIT}s"
    kubectl("rollout", "status", f"deployment/{NAME}", wait, namespace=NAMESPACE, limit=LIMIT + 10)


@contextmanager
def away() -> Iterator[None]:
    """Have it away, and back at the end.

    Raises:
        TooLate: it stays.
        ProgramFailed: it does not come back.
    """
    try:
        leave()
        yield
    finally:
        come_back()


def _pods() -> int:
    found = get("deployment", NAME, NAMESPACE)
    assert found, f"no Deployment {NAME} in {NAMESPACE}"
    return int(found["status"].get("replicas", 0))
