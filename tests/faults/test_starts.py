"""Starts that can't succeed: no storm of new groups, and a reason that can be read; and a start without DNS."""

from __future__ import annotations

import time

import pytest

from faults.injections import without_dns
from faults.results import keep
from faults.scene import START_LIMIT
from faults.starts import STARTS, WATCHED, watch
from faults.styles import Chart, Style
from kit.progress import say, wait_until

pytestmark = pytest.mark.faults
MOST_LEADERS = 3
"""In the time that is watched."""
WITHOUT_DNS = 20
GONE_LIMIT = 30
"""Seconds."""


@pytest.mark.parametrize("name", STARTS)
def test_failing_start_tells_why_and_makes_no_storm(style: Style, name: str) -> None:
    found = watch(style, STARTS[name].apply)
    told = next((line for line in found.told if STARTS[name].tells in line), "")
    say(f"{name}: {found.recreations} leaders; {found.doctor}; {told[:200]}")
    kept = {"recreations": found.recreations, "told": bool(told), "observed_s": WATCHED, "doctor": found.doctor}
    keep(f"start: {name}", style, kept)
    if isinstance(style, Chart):
        assert 1 <= found.recreations <= MOST_LEADERS
        assert told, found.told
        assert len(found.doctor) == 1 and found.doctor[0] in STARTS[name].doctor


def test_start_waits_for_dns(style: Style) -> None:
    with without_dns():
        found = watch(style, lambda own: own.start(), WITHOUT_DNS)
    seconds = style.wait_available(START_LIMIT)
    say(f"served {seconds:.0f} s after DNS was back, {found.recreations} leaders until then; {found.doctor}")
    kept = {"recreations": found.recreations, "seconds": round(seconds), "doctor": found.doctor}
    keep(f"start: DNS away for {WITHOUT_DNS} s", style, kept)
    if isinstance(style, Chart):
        assert found.recreations == 1
        assert found.doctor == ("dns-down",)


def test_pods_are_gone_soon_when_a_release_is_removed_while_it_starts(style: Style) -> None:
    style.start()
    wait_until("running pods", lambda: both_run(style), 60, period=0.3, state=style.describe)
    time.sleep(3)  # vLLM imports for some ten seconds, during which Python swallows signals
    begin = time.monotonic()
    style.uninstall(120)
    seconds = time.monotonic() - begin
    keep("uninstalled while it starts", style, {"gone_s": round(seconds)})
    if isinstance(style, Chart):
        assert seconds < GONE_LIMIT


def both_run(style: Style) -> bool:
    """Return whether the containers of both pods run."""
    statuses = [status for pod in style.pods() for status in pod["status"].get("containerStatuses", [])]
    return len(statuses) == 2 and all("running" in status["state"] for status in statuses)
