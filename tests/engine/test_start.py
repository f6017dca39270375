"""Starts that are stopped or fail."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.reference import PRESET
from kit.progress import say, wait_until
from kit.release import Release
from kit.watching import states, watch_pods

pytestmark = [pytest.mark.engine, pytest.mark.minutes(3)]
RUNNING_LIMIT = 60
GONE_LIMIT = 25
"""Seconds; the grace period is 85."""
WATCHED = 150
"""Seconds. A start takes 15 to 60 until it fails, and the back-off 30. Without it, a group is recreated after 5."""
MOST_LEADERS = 4
STOPPED = 143
"""Status after SIGTERM: the kubelet restarts a container before its group is deleted."""


def running(release: Release) -> bool:
    """Return whether the containers of both pods run."""
    statuses = [status for pod in release.pods() for status in pod["status"].get("containerStatuses", [])]
    return len(statuses) == 2 and all("running" in status["state"] for status in statuses)


def test_pods_are_gone_soon_when_the_release_is_removed_while_vllm_starts(release: Release) -> None:
    release.install(PRESET)
    wait_until("running containers", lambda: running(release), RUNNING_LIMIT, period=0.3, state=release.describe)
    time.sleep(3)  # vLLM imports for some ten seconds, during which Python swallows signals
    assert not release.available()
    pods = release.pods()
    assert pods[0]["spec"]["terminationGracePeriodSeconds"] > 3 * GONE_LIMIT
    start = time.monotonic()
    release.uninstall(GONE_LIMIT)
    say(f"removed during the start: pods gone after {time.monotonic() - start:.1f} s")


def test_failing_start_backs_off_and_leaves_its_reason(release: Release) -> None:
    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(watch_pods, release, WATCHED)
        release.install(PRESET, values={"engine": {"args": {"not-a-flag": 1}}})
        wait_until("running containers", lambda: running(release), RUNNING_LIMIT, state=release.describe)
        tested = release.test(60, check=False)
        pods = watched.result(WATCHED + 60)
    assert tested.code != 0, "helm test passed though nothing serves"

    leaders = {pod["metadata"]["uid"] for pod in pods if pod["metadata"]["name"] == "vllm-0"}
    say(f"failing start: {len(leaders)} leader pod(s) in {WATCHED} s")
    assert 1 <= len(leaders) <= MOST_LEADERS
    ended = [end for pod in pods if pod["metadata"]["name"] == "vllm-0" for end in states(pod, "terminated")]
    assert {end["exitCode"] for end in ended} - {STOPPED} == {2}, "the status of vLLM's own argument parser"
    reasons = {end["message"] for end in ended if end["exitCode"] == 2}
    assert all("unrecognized arguments: --not-a-flag" in reason for reason in reasons), reasons
