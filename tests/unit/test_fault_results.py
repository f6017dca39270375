"""The table of faults says what was measured, and the page has it."""

from __future__ import annotations

import pytest

from faults.results import COLUMNS, FILE, PAGE, Results, cell, load, marks, page, table

BACK = {
    "hang": False,
    "lost": 3,
    "dropped": 2,
    "longest_hang_s": 0,
    "outage_s": 60,
    "outage_starts": 1.2,
    "observed_s": 80,
}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (None, "not run"),
        (BACK, "back after 1.2 starts; 3 lost, 2 of them in work"),
        (BACK | {"longest_hang_s": 90}, "back after 1.2 starts; 3 lost, 2 of them in work, one hung for 90 s"),
        (BACK | {"outage_starts": None, "lost": 0}, "no interruption; 0 lost"),
        (BACK | {"hang": True, "observed_s": 150}, "**did not come back** in 150 s; 3 lost, 2 of them in work"),
        ({"recreations": 9, "observed_s": 75, "told": False}, "9 groups in 75 s; does not say why"),
        ({"recreations": 1, "seconds": 40}, "1 group until then; served 40 s after it was back"),
        ({"gone_s": 7}, "pods gone after 7 s"),
    ],
)
def test_cell_says_what_was_measured(entry: dict[str, object] | None, said: str) -> None:
    assert cell(entry) == said


def test_row_has_the_styles_of_its_table_and_the_doctor_s_verdicts() -> None:
    results: Results = {
        "fault": {"chart": BACK | {"doctor": ["killed"]}},
        "another": {"in-place": BACK | {"outage_starts": 0.5, "doctor": ["restarted-in-place"]}},
    }
    assert table(results, "faults").splitlines()[2:] == [
        "| fault | not run | back after 1.2 starts; 3 lost, 2 of them in work | `killed` |"
    ]
    assert table(results, "faults-in-place").splitlines()[2:] == [
        "| another | back after 0.5 starts; 3 lost, 2 of them in work | `restarted-in-place` |"
    ]


def test_page_has_the_table_of_the_kept_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, load()) == text, "run: PYTHONPATH=tools:tests python -m faults.results"
    assert all(mark in text for name in COLUMNS for mark in marks(name))
    assert FILE.exists()
