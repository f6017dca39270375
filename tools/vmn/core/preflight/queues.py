"""Checks of the queues in which groups wait: Kueue's and Volcano's."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.lws import QUEUE
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot, annotations_of, condition_of, labels_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped

VOLCANO = "scheduling.volcano.sh/queue-name"
TOPOLOGIES = ("kueue.x-k8s.io/podset-required-topology", "kueue.x-k8s.io/podset-preferred-topology")


def kueue(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the release's queue exists and admits workloads."""
    name = labels_of(release.lws).get(QUEUE)
    if not name:
        yield skipped("queue", "the release uses no queue")
    elif not snapshot.served("localqueues"):
        yield failed("queue", "Kueue is not installed on the cluster", "Install Kueue, or unset scheduling.queueName.")
    elif "localqueues" in snapshot.objects:
        yield _local_queue(name, release, snapshot)


def group_size(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that an upgrade keeps the number of pods of groups that Kueue manages.

    Kueue 0.17 keeps their Workloads as they are, so that it never admits the pods; newer versions refuse the change
    (kueue#13279). The label of the installed LeaderWorkerSet counts: Kueue sets it itself for a default LocalQueue.
    """
    installed = snapshot.named("leaderworkersets", release.lws["metadata"]["name"])
    name = labels_of(installed).get(QUEUE) if installed else None
    if installed is None or not name:
        yield skipped("queue-size", "no group of the release is in a queue of Kueue")
        return
    size = int(installed["spec"]["leaderWorkerTemplate"].get("size", 1))
    if size == release.size:
        yield passed("queue-size", f"the groups in queue {name} keep their {size} pods")
    else:
        text = (
            f"the groups in queue {name} have {size} pods, and the release asks for {release.size}: Kueue 0.17 would "
            "never admit them, and newer versions refuse the change"
        )
        fix = f"Set group.nodes to {size}, or uninstall the release and install it again."
        yield failed("queue-size", text, fix)


def _local_queue(name: str, release: RenderedRelease, snapshot: Snapshot) -> CheckResult:
    found = snapshot.named("localqueues", name)
    if not found:
        fix = "Create it, or set scheduling.queueName to a queue that kubectl get localqueues lists."
        return failed("queue", f"there is no LocalQueue {name} in {release.namespace}", fix)
    active = condition_of(found, "Active")
    if active.get("status", "True") != "True":
        fix = "Correct its ClusterQueue: kubectl describe clusterqueue shows what is missing."
        return failed("queue", f"LocalQueue {name} is not active: {active.get('message') or active.get('reason')}", fix)
    return passed("queue", f"LocalQueue {name} exists")


def topology(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the topology of the pods is a level of one of Kueue's Topologies."""
    named = [annotations_of(pod.template).get(key) for pod in release.pods for key in TOPOLOGIES]
    level = next((item for item in named if item), None)
    if not level:
        yield skipped("queue-topology", "the release uses no topology of Kueue")
    elif "topologies" in snapshot.objects:
        known = {item["nodeLabel"] for one in snapshot.all("topologies") for item in one["spec"]["levels"]}
        if level in known:
            yield passed("queue-topology", f"{level} is a level of a Topology")
        else:
            existing = ", ".join(sorted(known)) or "none"
            fix = f"Set scheduling.topology to an existing level: {existing}."
            yield failed("queue-topology", f"no Topology of Kueue has the level {level}", fix)


def uses_volcano(release: RenderedRelease) -> bool:
    """Return whether the pods use Volcano's scheduler."""
    return any(pod.spec.get("schedulerName") == "volcano" for pod in release.pods)


def volcano(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that Volcano and the queue exist if the pods use its scheduler."""
    if not uses_volcano(release):
        yield skipped("volcano", "the pods do not use Volcano")
        return
    name = annotations_of(release.lws).get(VOLCANO)
    if not snapshot.served("queues"):
        fix = "Install Volcano, or set scheduling.volcano.enabled to false."
        yield failed("volcano", "Volcano is not installed on the cluster", fix)
    elif name and "queues" in snapshot.objects and not snapshot.named("queues", name):
        known = ", ".join(item["metadata"]["name"] for item in snapshot.all("queues")) or "none"
        yield failed(
            "volcano", f"there is no Queue {name}", f"Set scheduling.volcano.queue to an existing queue: {known}."
        )
    elif "queues" in snapshot.objects:
        yield passed("volcano", f"Volcano is installed{f', with Queue {name}' if name else ''}")
