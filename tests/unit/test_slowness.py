"""Limits on CPU time grow with how slow the processor is."""

from __future__ import annotations

import sys

import pytest

from kit import slowness


@pytest.mark.parametrize(
    ("busy", "seconds", "passes"), [(1.0, 0.9, True), (1.0, 1.1, False), (2.0, 1.9, True), (2.0, 2.1, False)]
)
def test_limit_is_that_of_a_quiet_machine_times_its_slowness(
    monkeypatch: pytest.MonkeyPatch, busy: float, seconds: float, passes: bool
) -> None:
    monkeypatch.setattr(slowness, "cpu_seconds", lambda *_: busy * slowness.QUIET_SECONDS)
    assert slowness.in_time(seconds, 1.0) is passes


def test_cpu_time_is_that_of_the_command() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass"
    assert 0.3 <= slowness.cpu_seconds([sys.executable, "-c", work], {}, None) < 3
