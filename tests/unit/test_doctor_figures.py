"""The figures in docs/failures.md about the doctor on public logs, and the logs behind them."""

from __future__ import annotations

import re

import pytest

from kit.paths import CHECKOUT
from unit.doctor_data.figures import (
    HALVES,
    LOGS,
    Outcome,
    PublicLog,
    counted,
    half_of,
    kinds,
    outcome,
    public_logs,
    table,
    verdict,
)
from vmn.adapters.signatures import load_signatures

ALL = [log for half in HALVES for log in public_logs(half)]
PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.\w|hf_[A-Za-z0-9]{20}|/home/(?!ray/)\w")
FIRST, WRONG = 0.8, 0.03
"""What the doctor promises on logs that were kept apart: the least share of right causes, the most of wrong ones."""


def test_guide_has_the_figures_of_today() -> None:
    guide = (CHECKOUT / "docs/failures.md").read_text(encoding="utf-8")
    inside = guide.partition("<!-- figures: ")[2].partition("-->")[2].partition("<!-- end of figures -->")[0]
    assert inside.strip() == table()
    assert f"on {len(ALL)} public logs" in guide
    assert f"for the {sum(log.cause == 'unknown' for log in ALL)} logs that do not tell".lower() in guide.lower()
    assert f"{sum(log.nodes == 'several' for log in ALL)} are of several" in guide


@pytest.mark.parametrize("half", HALVES)
def test_doctor_keeps_its_promise(half: str) -> None:
    found = counted(half)
    total = sum(found.values())
    assert (found[Outcome.NAMED] + found[Outcome.QUOTED]) / total >= FIRST
    assert found[Outcome.WRONG] / total <= WRONG


def test_halves_are_as_chance_divides_them() -> None:
    assert [log.name for log in ALL if half_of(log.name) != log.half] == []
    for half in HALVES:
        files = {path.stem for path in LOGS.joinpath(half).glob("*.log")}
        assert files == {log.name for log in ALL if log.half == half}


def test_there_are_enough_logs_each_of_its_own_report() -> None:
    sources = [log.source for log in ALL]
    assert len(set(sources)) == len(sources) >= 60
    assert [source for source in sources if not re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", source)] == []


def test_causes_and_their_signatures_exist() -> None:
    causes = kinds()
    assert {log.cause for log in ALL} == set(causes)
    known = {item.id for item in load_signatures()}
    assert {name for kind in causes.values() for name in kind.signatures} - known == set()


def test_logs_have_no_personal_details() -> None:
    assert [log.name for log in ALL if PERSONAL.search(log.text)] == []


@pytest.mark.parametrize(
    ("text", "cause", "worth"),
    [
        ("RuntimeError: CUDA error: no kernel image is available", "gpu-too-new", Outcome.NAMED),
        ("RuntimeError: CUDA error: no kernel image is available", "port", Outcome.WRONG),
        ("FileExistsError: [Errno 17] File exists: 'a'", "streamer-race", Outcome.QUOTED),
        ("FileExistsError: [Errno 17] File exists: 'a'", "port", Outcome.MISSED),
    ],
)
def test_verdict_is_worth_what_it_says_about_the_cause(text: str, cause: str, worth: Outcome) -> None:
    log = PublicLog("x", "learning", text, cause, "a/b#1", "one")
    assert outcome(log, verdict(log)) is worth
