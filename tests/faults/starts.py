"""Starts that can't succeed: in each style, and what is to be seen of them afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from faults.styles import Chart, Edit, Style
from kit.cluster import Object, objects
from kit.doctor import asked_all_the_time
from kit.watching import states, watch_pods

WATCHED = 75
"""Seconds; LeaderWorkerSet recreates a failing group every 5, unless something waits."""


@dataclass(frozen=True)
class Start:
    """A start that fails.

    Attributes:
        values: of the chart, that make it fail.
        edit: does the same to the reference's pods.
        tells: what must be found of it where Kubernetes keeps the ends of containers, and events.
        doctor: the one verdict that ``vmn doctor`` must have, all the time; or several where the cluster decides.
    """

    values: Mapping[str, Any]
    edit: Edit
    tells: str
    doctor: tuple[str, ...]

    def apply(self, style: Style) -> None:
        """Start a style so that it fails."""
        if isinstance(style, Chart):
            style.start(self.values)
        else:
            style.start(self.edit)


@dataclass(frozen=True)
class Watched:
    """What was to be seen of a start.

    Attributes:
        recreations: leaders that there were.
        told: how containers ended, what they waited for, and events; each once.
        doctor: verdicts of ``vmn doctor`` meanwhile.
    """

    recreations: int
    told: tuple[str, ...]
    doctor: tuple[str, ...]

    def tells(self, text: str) -> bool:
        """Return whether anything has a text in it."""
        return any(text in line for line in self.told)


def watch(style: Style, start: Callable[[Style], None], seconds: int = WATCHED) -> Watched:
    """Start a style, and return what was to be seen of its pods over a time."""
    with ThreadPoolExecutor(1) as pool, asked_all_the_time(style.namespace) as said:
        watched = pool.submit(watch_pods, style, seconds)
        time.sleep(1)
        start(style)
        pods = watched.result(seconds + 60)
    leaders = {pod["metadata"]["uid"] for pod in pods if pod["metadata"]["name"] == "vllm-0"}
    told = [line for pod in pods for line in _told_by(pod)]
    told += [f"{event['reason']}: {event['message']}" for event in objects("events", namespace=style.namespace)]
    return Watched(len(leaders), tuple(dict.fromkeys(told)), tuple(said.verdicts))


def _told_by(pod: Object) -> list[str]:
    """Return what a pod's status says of its containers."""
    ends = [f"{end.get('reason')} {end.get('exitCode')}: {end.get('message', '')}" for end in states(pod, "terminated")]
    waits = [f"{wait.get('reason')}: {wait.get('message', '')}" for wait in states(pod, "waiting")]
    return ends + waits


def container(pod: Object) -> Object:
    """Return the container of a pod's specification."""
    found: Object = pod["containers"][0]
    return found


def replace_word(old: str, new: str) -> Edit:
    """Return an edit of the reference's shell line."""

    def edit(pod: Object) -> None:
        container(pod)["command"][-1] = container(pod)["command"][-1].replace(old, new)

    return edit


def small_shared_memory(pod: Object) -> None:
    """Leave almost no shared memory."""
    next(volume for volume in pod["volumes"] if volume["name"] == "dshm")["emptyDir"]["sizeLimit"] = "64Ki"


LITTLE = {"memory": "400Mi"}
STARTS: Mapping[str, Start] = {
    "image that is not there": Start(
        {"image": {"tag": "none"}},
        lambda pod: container(pod).update(image="vllm-multinode/vllm-cpu:none"),
        "ImagePull",
        ("image-not-found", "image-unreachable"),
    ),
    "flag that vLLM does not know": Start(
        {"engine": {"args": {"not-a-flag": 1}}},
        replace_word("--port", "--not-a-flag 1 --port"),
        "unrecognized arguments: --not-a-flag",
        ("arguments",),
    ),
    "weights that are not there": Start(
        {"weights": {"path": "/models/none"}},
        replace_word("/models/tiny", "/models/none"),
        "/models/none",
        ("weights-no-config",),
    ),
    "memory limit that is too small": Start(
        {"resources": {"limits": LITTLE, "requests": LITTLE}, "sharedMemory": {"size": "64Mi"}},
        lambda pod: container(pod).update(resources={"limits": LITTLE}),
        "OOMKilled",
        ("out-of-memory",),
    ),
    "shared memory that is too small": Start(
        {"sharedMemory": {"size": "64Ki"}},
        small_shared_memory,
        "Insufficient space in /dev/shm",
        ("shm-full",),
    ),
}
