"""The documents on speed have the errors as they are, and the presets of ``vmn bench``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kit.paths import CHECKOUT
from speed.table import END, TABLES
from vmn.core.bench.points import PRESETS

DOCS = CHECKOUT / "docs"


@pytest.mark.slow  # predicts all points once more
@pytest.mark.parametrize(("file", "begin", "content"), TABLES, ids=["starts", "servers", "calls"])
def test_document_has_the_table_of_errors_as_it_is(file: str, begin: str, content: Callable[[], str]) -> None:
    inside = (DOCS / file).read_text(encoding="utf-8").partition(begin)[2].partition(END)[0]
    assert inside.strip() == content()


def test_document_has_every_preset() -> None:
    document = (DOCS / "speed.md").read_text(encoding="utf-8")
    for name, preset in PRESETS.items():
        running = ", ".join(map(str, preset.concurrency))
        assert f"| `{name}` | {preset.prompt:,} + {preset.answer:,} | {running} |" in document
