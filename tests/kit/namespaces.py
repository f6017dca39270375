"""Namespaces of tests: their names, and what is in them at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from kit.cluster import LWS, get
from kit.release import remove_all

in_use: list[str] = []
"""Namespaces of the test that runs: looked at when it fails."""


def new_name() -> str:
    """Return a name that no namespace has."""
    return f"vllm-test-{secrets.token_hex(4)}"


@contextmanager
def used(name: str) -> Iterator[None]:
    """Use a namespace for tests, and remove its releases at the end.

    Raises:
        AssertionError: the cluster has no LeaderWorkerSet.
        ProgramFailed: Helm fails.
        TooLate: pods stay.
    """
    assert get("customresourcedefinition", LWS), "the cluster has no LeaderWorkerSet: see docs/clusters.md"
    in_use.append(name)
    try:
        yield
    finally:
        in_use.remove(name)
        remove_all(name)
