"""The line that says what is done, what runs, and how long it still takes."""

from __future__ import annotations

import time

import pytest

from localcluster import progress


def board(now: float) -> progress.Board:
    """Return a board on which one part of 100 s is done, 50 s after its begin, and one runs."""
    shown = progress.Board({"one": 100.0, "two": 100.0, "three": 100.0}, begun=now - 50)
    shown.done.append("one")
    shown.running["two"] = (0.5, "(1 of 2)")
    return shown


def test_line_says_what_is_done_what_runs_and_how_long_it_takes() -> None:
    assert board(1000.0).text(1000.0) == "  0:50  1 of 3 done; running: two (1 of 2); about 70 s left"


@pytest.mark.parametrize(("seconds", "words"), [(3, "10 s"), (44, "40 s"), (100, "2 min"), (400, "7 min")])
def test_times_are_as_coarse_as_they_are_known(seconds: float, words: str) -> None:
    assert progress._rounded(seconds) == words


def test_slow_machine_is_given_more_time() -> None:
    shown = board(1000.0)
    quick = shown.remaining(1000.0)
    shown.begun -= 300
    assert shown.remaining(1000.0) > 2 * quick


def test_long_line_is_cut() -> None:
    shown = board(0.0)
    shown.running |= {f"a part with a long name {number}": (0.0, "") for number in range(9)}
    assert len(shown.text(0.0)) <= progress._WIDTH
    assert "…" in shown.text(0.0)


def test_first_line_comes_within_two_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.board({"a part": 1}), progress.current("a part"):
        time.sleep(1.5)
    assert "0 of 1 done; running: a part" in capfd.readouterr().err


def test_part_that_failed_is_not_done(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.board({"a part": 1}) as shown:
        with pytest.raises(ValueError, match="no"), progress.current("a part"):
            raise ValueError("no")
        assert shown.done == []


def test_board_inside_a_board_is_the_same() -> None:
    with progress.board({"outer": 1}) as outer, progress.board({"inner": 1}) as inner:
        assert inner is outer
