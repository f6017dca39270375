"""Observations about groups that wait in a queue of Kueue and that it will never admit."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.lws import QUEUE
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.snapshot import Object, annotations_of, condition_of, labels_of
from vmn.core.doctor.evidence import Observation

INDEX = "kueue.x-k8s.io/component-workload-index"
"""Annotation of a Workload: the index of the group (Kueue 0.17.0, pkg/controller/constants)."""
WORKLOAD = "kueue.x-k8s.io/pod-group-name"
"""Annotation of a pod, up to Kueue 0.17 label: the name of its Workload (pkg/controller/jobs/pod/constants)."""
LABEL_LENGTH = 63
"""Characters that the value of a label may have (Kubernetes, validation.LabelValueMaxLength)."""
HASH_LENGTH = 5
"""Characters of the hash at the end of a Workload's name (Kueue 0.17.0, jobframework/workload_names.go)."""


def queue_sources(release: Release, group: Group) -> Iterator[Observation]:
    """Yield why Kueue never admits the pods of a group that it holds back."""
    gated = [pod for pod in group.pods if _is_gated(pod)]
    if not gated or release.lws is None or QUEUE not in labels_of(release.lws):
        return
    first = gated[0]
    name = f"leaderworkerset-{release.name}-{group.index}-{'x' * HASH_LENGTH}"
    if len(name) > LABEL_LENGTH and not any(_workload_of(pod) for pod in gated):
        text = f"{first.name} is held back, and Kueue has not labelled it: {name} has {len(name)} characters"
        yield _about(release, group, "queue-name-too-long", text, {"workload": name}, first)
        return
    for workload in release.snapshot.all("workloads"):
        if _is_of(workload, release, group) and (ended := condition_of(workload, "Finished")).get("status") == "True":
            title, reason = workload["metadata"]["name"], str(ended.get("reason", ""))
            text = f"{first.name} is held back, and Workload {title} is finished: {reason}: {ended.get('message', '')}"
            fields = {"workload": title, "reason": reason}
            yield _about(release, group, "queue-workload-ended", text, fields, first)


def _about(release: Release, group: Group, kind: str, text: str, fields: dict[str, str], pod: Pod) -> Observation:
    where = f"group {group.index}"
    return Observation(kind, "group", where, text, fields, "", pod.created_at, pod.name, pod.role, group.index)


def _is_gated(pod: Pod) -> bool:
    return pod.condition("PodScheduled").get("reason") == "SchedulingGated" and pod.deletion_deadline is None


def _workload_of(pod: Pod) -> str:
    """Return the name of a pod's Workload, nothing until Kueue has written it."""
    return annotations_of(pod.item).get(WORKLOAD) or labels_of(pod.item).get(WORKLOAD, "")


def _is_of(workload: Object, release: Release, group: Group) -> bool:
    """Return whether a Workload is a group's: of its LeaderWorkerSet, with its index or the name on its pods."""
    owners = workload["metadata"].get("ownerReferences") or ()
    if not any(owner.get("kind") == "LeaderWorkerSet" and owner.get("name") == release.name for owner in owners):
        return False
    named = {_workload_of(pod) for pod in group.pods}
    return workload["metadata"]["name"] in named or annotations_of(workload).get(INDEX) == str(group.index)
