"""Fixtures of the tier that breaks things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.scene import Scene, serving
from faults.styles import ASKED, STYLES, Style


@pytest.fixture(scope="module", params=ASKED)
def scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """Start the tiny model in a style; it is there for all tests of a module, each of which must leave it serving."""
    with serving(STYLES[request.param](namespace)) as scene:
        yield scene


@pytest.fixture(params=ASKED)
def style(request: pytest.FixtureRequest, namespace: str) -> Iterator[Style]:
    """Give a style that a test starts itself, and remove it at the end."""
    own: Style = STYLES[request.param](namespace)
    yield own
    own.uninstall()
