"""How far the pods of a probe have come, and when to stop waiting."""

from __future__ import annotations

from typing import Any

import pytest

from vmn.core.preflight.probe.progress import (
    INDEX,
    STRAGGLER_SECONDS,
    STUCK_SECONDS,
    Patience,
    Phase,
    PodProgress,
    in_words,
    progress_of,
    refusal,
    with_deleted,
)

Object = dict[str, Any]
NAME = "vmn-preflight-abc123"


def pod(rank: int = 0, node: str = "node-1", phase: str = "Pending", **status: Any) -> Object:
    return {
        "metadata": {"name": f"{NAME}-{rank}-x", "uid": f"uid-{rank}", "annotations": {INDEX: str(rank)}},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, **status},
    }


def container(**state: Any) -> Object:
    return {"containerStatuses": [{"state": state}]}


def event(reason: str, message: str = "", rank: int = 0) -> Object:
    return {"involvedObject": {"name": f"{NAME}-{rank}-x", "uid": f"uid-{rank}"}, "reason": reason, "message": message}


UNSCHEDULED: Object = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
}
WAITING = container(waiting={"reason": "ContainerCreating"})
PULL = container(waiting={"reason": "ImagePullBackOff", "message": "no such image"})


@pytest.mark.parametrize(
    ("given", "events", "phase", "words"),
    [
        (pod(node="", **UNSCHEDULED), [], Phase.STUCK, "0/3 nodes"),
        (pod(node="", **UNSCHEDULED), [event("TriggeredScaleUp")], Phase.WAITS, "a node is being added; 0/3 nodes"),
        (pod(node=""), [], Phase.WAITS, "not scheduled yet"),
        (pod(**WAITING), [event("Pulling")], Phase.WAITS, "pulling the image"),
        (pod(**WAITING), [], Phase.WAITS, "starting"),
        (pod(), [event("FailedMount", "hostPath type check failed")], Phase.STUCK, "FailedMount: hostPath type check"),
        (pod(**WAITING), [event("FailedMount"), event("Pulling")], Phase.WAITS, "pulling the image"),
        (pod(**PULL), [], Phase.STUCK, "ImagePullBackOff: no such image"),
        (pod(phase="Running", **container(running={})), [event("FailedMount")], Phase.RUNS, ""),
        (pod(phase="Succeeded", **container(terminated={"exitCode": 0})), [], Phase.ENDED, ""),
        (
            pod(
                phase="Failed", **container(terminated={"exitCode": 128, "reason": "StartError", "message": "python3"})
            ),
            [],
            Phase.ENDED,
            "StartError, exit status 128: python3",
        ),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), [], Phase.ENDED, "Evicted: low on memory"),
    ],
)
def test_state_of_a_pod_has_the_cluster_s_words(given: Object, events: list[Object], phase: Phase, words: str) -> None:
    (found,) = progress_of([given], events)
    assert found.phase is phase
    assert found.words.startswith(words)
    assert bool(found.words) == bool(words)


def test_states_are_by_rank_and_events_are_each_pod_s_own() -> None:
    found = progress_of([pod(1), pod(0)], [event("FailedMount", "no directory", rank=1)])
    assert [(item.rank, item.phase) for item in found] == [(0, Phase.WAITS), (1, Phase.STUCK)]


def test_refusal_of_pods_is_the_last_one_of_the_job() -> None:
    said = {
        "involvedObject": {"name": NAME},
        "reason": "FailedCreate",
        "message": 'Error creating: pods "vmn-0-x" is forbidden: exceeded quota: all',
    }
    assert refusal(NAME, [said]) == "forbidden: exceeded quota: all"
    assert refusal("other", [said]) == ""


RUNS = [PodProgress(rank, f"node-{rank}", Phase.RUNS) for rank in (0, 1)]
ENDED = [PodProgress(rank, f"node-{rank}", Phase.ENDED) for rank in (0, 1)]
STUCK = PodProgress(1, "", Phase.STUCK, "0/3 nodes")


def test_waiting_is_over_when_all_have_ended() -> None:
    assert Patience(2, 300).is_over(ENDED, "", 1)
    assert not Patience(2, 300).is_over(ENDED[:1], "", 1)
    assert not Patience(2, 300).is_over(RUNS, "", 1)


def test_waiting_is_over_when_the_time_is_up() -> None:
    assert Patience(2, 300).is_over(RUNS, "", 300)


@pytest.mark.parametrize(("found", "refused"), [([RUNS[0], STUCK], ""), ([], "exceeded quota")])
def test_waiting_is_over_when_a_pod_stays_stuck(found: list[PodProgress], refused: str) -> None:
    patience = Patience(2, 300)
    assert not patience.is_over(found, refused, 10)
    assert not patience.is_over(found, refused, 10 + STUCK_SECONDS - 1)
    assert patience.is_over(found, refused, 10 + STUCK_SECONDS)


def test_waiting_continues_when_a_pod_was_stuck_for_a_moment() -> None:
    patience = Patience(2, 300)
    assert not patience.is_over([RUNS[0], STUCK], "", 10)
    assert not patience.is_over(RUNS, "", 20)
    assert not patience.is_over([RUNS[0], STUCK], "", 10 + STUCK_SECONDS)


def test_waiting_is_over_when_one_runs_long_after_another_has_ended() -> None:
    patience = Patience(2, 300)
    found = [ENDED[0], RUNS[1]]
    assert not patience.is_over(found, "", 10)
    assert not patience.is_over(found, "", 10 + STRAGGLER_SECONDS - 1)
    assert patience.is_over(found, "", 10 + STRAGGLER_SECONDS)


def test_waiting_continues_when_one_has_ended_and_another_still_pulls_its_image() -> None:
    patience = Patience(2, 300)
    found = [ENDED[0], PodProgress(1, "node-1", Phase.WAITS, "pulling the image")]
    assert not patience.is_over(found, "", 10)
    assert not patience.is_over(found, "", 250)


def test_deleted_pods_that_ran_have_ended() -> None:
    waits = PodProgress(2, "node-2", Phase.WAITS, "starting")
    bad = PodProgress(1, "node-1", Phase.ENDED, "exit status 1")
    assert with_deleted([*RUNS[:1], bad, waits], []) == [ENDED[0], bad]
    assert with_deleted(RUNS, ENDED) == ENDED


def test_pods_are_described_in_one_line() -> None:
    assert in_words([RUNS[0], STUCK], "") == "node-0 runs; pod 1 stuck: 0/3 nodes"
    assert in_words([], "quota") == "no pods yet: quota"
