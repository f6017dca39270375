"""docs/planner.md says what the planner does now."""

from __future__ import annotations

from pathlib import Path

from unit.planning_data.bands import calibration
from unit.planning_data.table import table

DOCUMENT = (Path(__file__).parents[2] / "docs/planner.md").read_text(encoding="utf-8")


def inside(begin: str, end: str) -> str:
    return DOCUMENT.partition(f"<!-- {begin}: ")[2].partition("-->")[2].partition(f"<!-- {end} -->")[0].strip()


def test_document_has_the_table_of_errors_as_it_is() -> None:
    assert inside("table", "end of table") == table()


def test_document_has_the_table_of_bands_as_it_is() -> None:
    assert inside("calibration", "end of calibration") == calibration()


def test_document_is_short_and_names_no_place_of_a_machine() -> None:
    assert len([line for line in DOCUMENT.splitlines() if not line.startswith("|")]) <= 170  # tables grow by starts
    assert [word for word in ("/work", "/tmp", "/root", "/home") if word in DOCUMENT] == []
