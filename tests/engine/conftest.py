"""Fixtures of the tier with vLLM in real pods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit.release import Release


@pytest.fixture
def release(namespace: str) -> Iterator[Release]:
    """Give a release that a test may install, and remove it at the end."""
    own = Release(namespace)
    yield own
    own.uninstall()
