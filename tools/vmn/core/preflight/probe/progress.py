"""How far the pods of a probe have come, in the cluster's own words, and when to stop waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vmn.core.cluster.snapshot import Object, annotations_of

INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation of a Job's pods, and since Kubernetes 1.28 also a label."""
STUCK_SECONDS = 30
"""Seconds after which what keeps a pod from starting counts as final, as a volume may come late."""
STRAGGLER_SECONDS = 90
"""Seconds that the other pods have after the first one ended: pod 0 may be silent for 20 s, and nvidia-smi without
persistence mode and hundreds of shards on slow storage take time."""
BAD_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "UnexpectedAdmissionError")
SCALES = "TriggeredScaleUp"
"""Event of the cluster autoscaler: a node is on its way."""
WAITING_WELL = ("ContainerCreating", "PodInitializing")


class Phase(StrEnum):
    """How far a pod has come."""

    WAITS = "waits"
    STUCK = "stuck"
    RUNS = "runs"
    ENDED = "ended"


STARTED = (Phase.RUNS, Phase.ENDED)


@dataclass(frozen=True)
class PodProgress:
    """A pod of a probe.

    Attributes:
        rank: index of the pod.
        node: name of its node, empty before it is scheduled.
        phase: how far it has come.
        words: why it waits, or how it ended; empty when nothing is wrong.
    """

    rank: int
    node: str
    phase: Phase
    words: str = ""

    @property
    def where(self) -> str:
        """The node, or the number of a pod without a node."""
        return self.node or f"pod {self.rank}"


def progress_of(pods: Sequence[Object], events: Sequence[Object]) -> list[PodProgress]:
    """Return the progress of the pods, by rank."""
    found = [_progress(pod, list(_events_of(pod, events))) for pod in pods if INDEX in annotations_of(pod)]
    return sorted(found, key=lambda item: item.rank)


def with_deleted(before: Sequence[PodProgress], now: Sequence[PodProgress]) -> list[PodProgress]:
    """Return the progress of the pods including deleted ones: a failed Job deletes the pods that still run."""
    gone = {
        item.rank: replace(item, phase=Phase.ENDED, words=item.words if item.phase is Phase.ENDED else "")
        for item in before
        if item.phase in STARTED
    }
    return sorted({**gone, **{item.rank: item for item in now}}.values(), key=lambda item: item.rank)


def refusal(job: str, events: Sequence[Object]) -> str:
    """Return why the Job's controller can't create pods, such as admission or quota; empty when it can."""
    text = [
        event["message"]
        for event in events
        if event["involvedObject"].get("name") == job and event.get("reason") == "FailedCreate"
    ]
    return re.sub(r'^Error creating: (pods "[^"]*" is )?', "", text[-1]) if text else ""


def _events_of(pod: Object, events: Sequence[Object]) -> Iterator[Object]:
    for event in events:
        if event["involvedObject"].get("uid") == pod["metadata"]["uid"]:
            yield event


def _progress(pod: Object, events: Sequence[Object]) -> PodProgress:
    rank, node = int(annotations_of(pod)[INDEX]), pod["spec"].get("nodeName") or ""
    status = pod.get("status") or {}
    first: Object = next(iter(status.get("containerStatuses") or ()), {})
    entry: Object = first.get("state") or {}
    if ended := entry.get("terminated"):
        return PodProgress(rank, node, Phase.ENDED, _ending(ended))
    if status.get("phase") in ("Failed", "Succeeded"):
        text = f"{status.get('reason', 'Failed')}: {status.get('message', '')}".rstrip(": ")
        return PodProgress(rank, node, Phase.ENDED, text if status["phase"] == "Failed" else "")
    if "running" in entry:
        return PodProgress(rank, node, Phase.RUNS)
    if not node:
        return _unscheduled(rank, status, events)
    return _starting(rank, node, entry.get("waiting") or {}, events)


def _ending(ended: Object) -> str:
    if ended.get("exitCode") == 0:
        return ""
    text = str(ended.get("message") or "").strip()
    return f"{ended.get('reason', 'Error')}, exit status {ended.get('exitCode')}{': ' + text[-300:] if text else ''}"


def _unscheduled(rank: int, status: Object, events: Sequence[Object]) -> PodProgress:
    text = next(
        (
            item.get("message") or item.get("reason") or ""
            for item in status.get("conditions") or ()
            if item["type"] == "PodScheduled" and item["status"] == "False"
        ),
        "",
    )
    if any(event.get("reason") == SCALES for event in events):
        return PodProgress(rank, "", Phase.WAITS, f"a node is being added; {text}")
    return PodProgress(rank, "", Phase.STUCK if text else Phase.WAITS, text or "not scheduled yet")


def _starting(rank: int, node: str, waiting: Object, events: Sequence[Object]) -> PodProgress:
    reason = str(waiting.get("reason") or "ContainerCreating")
    if reason not in WAITING_WELL:
        text = f"{reason}: {waiting.get('message') or ''}".rstrip(": ")
        return PodProgress(rank, node, Phase.STUCK, text)
    last = events[-1] if events else {}
    if last.get("reason") in BAD_EVENTS:
        return PodProgress(rank, node, Phase.STUCK, f"{last['reason']}: {last.get('message', '')}")
    return PodProgress(rank, node, Phase.WAITS, "pulling the image" if last.get("reason") == "Pulling" else "starting")


@dataclass
class Patience:
    """When to stop waiting, by a clock that the caller provides.

    Attributes:
        nodes: number of pods to wait for.
        end: time at which waiting ends in any case.
    """

    nodes: int
    end: float
    _stuck: float | None = None
    _straggling: float | None = None

    def is_over(self, found: Sequence[PodProgress], refused: str, now: float) -> bool:
        """Return whether all pods have ended, or waiting longer is pointless."""
        started = [item for item in found if item.phase in STARTED]
        ended = [item for item in found if item.phase is Phase.ENDED]
        stuck = bool(refused) or any(item.phase is Phase.STUCK for item in found)
        self._stuck = (self._stuck or now) if stuck else None
        straggles = bool(ended) and len(started) == self.nodes
        self._straggling = (self._straggling or now) if straggles else None
        return (
            len(ended) >= self.nodes
            or now >= self.end
            or (self._stuck is not None and now - self._stuck >= STUCK_SECONDS)
            or (self._straggling is not None and now - self._straggling >= STRAGGLER_SECONDS)
        )


def in_words(found: Sequence[PodProgress], refused: str) -> str:
    """Return the progress of the pods in one line."""
    if not found:
        return f"no pods yet{': ' + refused if refused else ''}"
    return "; ".join(f"{item.where} {item.phase}{': ' + item.words if item.words else ''}" for item in found)
