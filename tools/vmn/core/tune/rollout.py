"""How far the groups of a release are after an upgrade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmn.core.cluster.release import Pod
from vmn.core.cluster.snapshot import Object

HELD_UP = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})
"""Reasons for which a container waits that waiting does not change."""
RUN = ("image", "command", "args")
"""Fields of vLLM's container that say what a pod runs. Admission can change others."""


@dataclass(frozen=True)
class RolloutState:
    """What the pods of a release show.

    Attributes:
        is_done: whether all groups serve with the template that the LeaderWorkerSet has.
        failure: what keeps a pod with that template from starting, empty if nothing does.
        words: the state in a few words.
        failed: the pods with that template if one of them has such a failure, otherwise none.
    """

    is_done: bool
    failure: str
    words: str
    failed: Sequence[Pod] = ()


def rollout_state(lws: Object, pods: Sequence[Pod]) -> RolloutState:
    """Return how far the groups of a LeaderWorkerSet are."""
    spec = lws["spec"]
    wanted = int(spec.get("replicas", 1)) * int(spec["leaderWorkerTemplate"].get("size", 1))
    current = [pod for pod in pods if runs_template(lws, pod)]
    ready = sum(pod.ready for pod in current)
    others = len(pods) - len(current)
    failure = next((words for pod in current if (words := _failure(pod))), "")
    words = f"{ready} of {wanted} pods ready" + (f", {others} with other settings" if others else "")
    return RolloutState(ready == wanted == len(pods), failure, words, current if failure else ())


def runs_template(lws: Object, pod: Pod) -> bool:
    """Return whether a pod runs what the template for its role has."""
    template = lws["spec"]["leaderWorkerTemplate"]
    role = (template.get("leaderTemplate") if pod.index == 0 else None) or template["workerTemplate"]
    wanted = role["spec"]["containers"][0]
    found: Object = next((one for one in pod.item["spec"].get("containers") or () if one["name"] == wanted["name"]), {})
    return all(found.get(field) == wanted.get(field) for field in RUN)


def _failure(pod: Pod) -> str:
    """Return why a pod's container does not run, empty if it does or may still.

    A pod that is being deleted ends its containers, which says nothing. What ended before may be why it is deleted.
    """
    for status in pod.containers:
        state = status.get("state") or {}
        runs = [status.get("lastState") or {}] if pod.deletion_deadline else [state, status.get("lastState") or {}]
        ended: Object = next((found for run in runs if (found := run.get("terminated"))), {})
        if ended.get("exitCode"):
            return f"{status['name']} of {pod.name} ended with status {ended['exitCode']}"
        reason = (state.get("waiting") or {}).get("reason")
        if reason in HELD_UP:
            return f"{status['name']} of {pod.name} waits: {reason}"
    return ""
