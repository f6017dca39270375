"""Fixtures of the tier on a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit.release import Release
from kit.simulated import at_least

NODES = 4
"""Two groups of two nodes."""


@pytest.fixture(scope="session")
def simulated_nodes() -> Iterator[None]:
    """Have simulated nodes of 8 GPUs each."""
    with at_least(NODES):
        yield


@pytest.fixture
def release(namespace: str, simulated_nodes: None) -> Iterator[Release]:
    """Give a release that a test may install, and remove it at the end."""
    own = Release(namespace)
    yield own
    own.uninstall()
