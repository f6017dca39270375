"""Checks of nodes: which ones can take the pods, and how many have room now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from vmn.core.cluster.lws import EXCLUSIVE, NAME
from vmn.core.cluster.quantity import quantity, written
from vmn.core.cluster.rendered import RenderedRelease, pod_requests
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of, labels_of
from vmn.core.preflight.eligibility import bars
from vmn.core.preflight.result import CheckResult, failed, nodes_are, passed, skipped, warned

DONE = ("Succeeded", "Failed")


@dataclass(frozen=True)
class NodeFit:
    """A node, and what keeps the release's pods off it.

    Attributes:
        node: the object.
        barred: why no pod can run there, whatever is free; empty when one can.
        short: resources of which the node has too little even when it is empty.
        slots: number of pods that fit now.
        busy: resources that other pods take.
    """

    node: Object
    barred: tuple[str, ...]
    short: tuple[str, ...]
    slots: int
    busy: tuple[str, ...] = field(default=())


class Placement:
    """Where the pods of a release can run."""

    def __init__(self, release: RenderedRelease, snapshot: Snapshot, *, beside: bool = False) -> None:
        """Look at a release and a cluster.

        Args:
            release: the release.
            snapshot: the cluster.
            beside: whether pods of the release that already run keep their places; otherwise the places count as free.
        """
        self.release, self.snapshot, self.beside = release, snapshot, beside

    @cached_property
    def requests(self) -> dict[str, Decimal]:
        """The most that one pod of either role requests, including its place in a node's number of pods."""
        most: dict[str, Decimal] = {"pods": Decimal(1)}
        for pod in self.release.pods:
            for name, amount in pod.requests.items():
                most[name] = max(most.get(name, Decimal(0)), amount)
        return most

    @cached_property
    def fits(self) -> list[NodeFit]:
        """Every node with the release's GPUs, or every node when it requests none."""
        resource = self.release.gpu_resource
        return [
            self._fit(node) for node in self.snapshot.all("nodes") if not resource or allocatable(node).get(resource)
        ]

    @cached_property
    def open(self) -> list[NodeFit]:
        """The nodes that can take a pod when they are empty."""
        return [fit for fit in self.fits if not fit.barred and not fit.short]

    def room(self, groups: int) -> int:
        """Return how many pods of that many groups fit now, with each pod of a group on a node of its own."""
        return sum(min(fit.slots, groups) for fit in self.open)

    @cached_property
    def _taken(self) -> Mapping[str, Mapping[str, Decimal]]:
        taken: dict[str, dict[str, Decimal]] = {}
        for pod in self.snapshot.all("pods"):
            name = pod["spec"].get("nodeName")
            if (
                not name
                or pod.get("status", {}).get("phase") in DONE
                or (not self.beside and is_own(pod, self.release))
            ):
                continue
            sums = taken.setdefault(name, {})
            for resource, amount in {**pod_requests(pod["spec"]), "pods": Decimal(1)}.items():
                sums[resource] = sums.get(resource, Decimal(0)) + amount
        return taken

    def _fit(self, node: Object) -> NodeFit:
        offered, taken = allocatable(node), self._taken.get(node["metadata"]["name"], {})
        short = tuple(name for name, amount in self.requests.items() if offered.get(name, Decimal(0)) < amount)
        left = {name: offered.get(name, Decimal(0)) - taken.get(name, Decimal(0)) for name in self.requests}
        slots = min((int(left[name] // amount) for name, amount in self.requests.items() if amount), default=0)
        busy = tuple(name for name, amount in self.requests.items() if left[name] < amount)
        barred = tuple(dict.fromkeys(why for pod in self.release.pods for why in bars(node, pod.spec)))
        return NodeFit(node, barred, short, max(0, slots), busy)


def is_own(pod: Object, release: RenderedRelease) -> bool:
    """Return whether a pod belongs to the release."""
    if pod["metadata"].get("namespace") != release.namespace:
        return False
    return bool(labels_of(pod).get(NAME) == release.lws["metadata"]["name"])


def allocatable(node: Object) -> dict[str, Decimal]:
    """Return what a node offers to pods."""
    return {name: quantity(value) for name, value in (node["status"].get("allocatable") or {}).items()}


def nodes(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that enough nodes have room for each pod of the release now."""
    place = Placement(release, snapshot)
    needed = release.replicas * release.size
    room = place.room(release.replicas)
    what = f"{needed} pod{'s' * (needed > 1)} ({release.replicas} x {release.size})"
    if not place.fits:
        resource = release.gpu_resource
        fix = (
            f"Install the device plugin, or set group.gpuResource to the name that the nodes use instead of {resource}."
        )
        yield failed("nodes", f"no node has {resource}", fix)
    elif room >= needed:
        yield passed("nodes", f"room for {room} pods on {len(place.open)} nodes; the release has {what}")
    elif sum(min(place_slots(fit, place.requests), release.replicas) for fit in place.open) >= needed:
        yield failed("nodes", f"room for {room} of {what} now: {_busy(place)}", "Free these nodes, or use fewer pods.")
    else:
        yield failed("nodes", f"room for {room} of {what}: {_closed(place)}", _remedy(place))


def place_slots(fit: NodeFit, requests: Mapping[str, Decimal]) -> int:
    """Return the number of pods that fit on a node when it is empty."""
    offered = allocatable(fit.node)
    return min(int(offered.get(name, Decimal(0)) // amount) for name, amount in requests.items() if amount)


def spare(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that a rollout with maxSurge has room for its extra groups."""
    if not release.surge:
        yield skipped("spare-nodes", "rollouts create no extra group (maxSurge: 0)")
        return
    groups = release.replicas + release.surge
    room, needed = Placement(release, snapshot).room(groups), groups * release.size
    if room >= needed:
        yield passed("spare-nodes", f"room for {release.surge} extra group{'s' * (release.surge > 1)} during a rollout")
    else:
        fix = "A rollout would never finish: set rollout.maxSurge to 0, or add nodes."
        yield warned("spare-nodes", f"room for {room} of {needed} pods during a rollout", fix)


def _busy(place: Placement) -> str:
    reasons = Counter(name for fit in place.open if not fit.slots for name in fit.busy)
    return ", ".join(
        f"{nodes_are(count, 'has', 'have')} too little free {name}" for name, count in reasons.most_common()
    )


def _closed(place: Placement) -> str:
    reasons = Counter(why for fit in place.fits for why in (*fit.barred, *(f"too little {name}" for name in fit.short)))
    parts = [_described(count, why) for why, count in reasons.items()]
    suitable = f"{nodes_are(len(place.fits), 'has', 'have')} {place.release.gpu_resource or 'room'}"
    return f"{suitable}; {', '.join(parts)}" if parts else f"{suitable}, {len(place.open)} of them can take pods"


def _described(count: int, why: str) -> str:
    """Return a number of nodes with what keeps pods off them."""
    if why.startswith(("no label ", "taint ", "too little ")):
        return f"{count} ha{'s' if count == 1 else 've'} {why}"
    return f"{count} {'is' if count == 1 else 'are'} {why}"


def _remedy(place: Placement) -> str:
    """Return what to do about the most common reason."""
    bar = Counter(why for fit in place.fits for why in fit.barred).most_common(1)
    if bar and bar[0][0].startswith("taint "):
        return f"Add a toleration for {bar[0][0].removeprefix('taint ')} to scheduling.tolerations."
    if bar and bar[0][0].startswith("no label "):
        return f"Label the nodes, or change scheduling.nodeSelector: {bar[0][0].removeprefix('no label ')}."
    if bar:
        return f"Bring the nodes back, which are {bar[0][0]}. Run kubectl describe node to see why."
    short = Counter(name for fit in place.fits for name in fit.short).most_common(1)
    if short:
        name = short[0][0]
        most = max(allocatable(fit.node).get(name, Decimal(0)) for fit in place.fits)
        requested = written(name, place.requests[name])
        return (
            f"Each pod requests {requested} of {name}, but the largest node offers {written(name, most)}: request less."
        )
    return "Add nodes, or use fewer (group.nodes, group.replicas)."


def topology(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that every node has the label that exclusive placement needs."""
    key = annotations_of(release.lws).get(EXCLUSIVE)
    if not key:
        yield skipped("exclusive-topology", "groups may share a topology domain")
        return
    without = [
        fit.node["metadata"]["name"] for fit in Placement(release, snapshot).open if key not in labels_of(fit.node)
    ]
    if without:
        fix = f"Label every node with {key}: on other nodes LeaderWorkerSet leaves groups pending."
        yield failed(
            "exclusive-topology", f"{nodes_are(len(without), 'has', 'have')} no label {key}: {without[0]}", fix
        )
    else:
        yield passed("exclusive-topology", f"every node has the label {key}")


def numa(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the kubelet does not require a single NUMA node, on which all GPUs of a node never fit."""
    if snapshot.kubelet is None:
        yield skipped("numa", "you may not read the kubelet's configuration (get nodes/proxy)")
        return
    policy = snapshot.kubelet.get("topologyManagerPolicy", "none")
    if policy == "single-numa-node":
        fix = "Set topologyManagerPolicy to best-effort or restricted, or request only the GPUs of one NUMA node."
        yield warned("numa", "the kubelet refuses pods that span NUMA nodes (TopologyAffinityError)", fix)
    else:
        yield passed("numa", f"the kubelet's topology manager policy is {policy}")


def image(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check how many nodes already have the image; nodes list their 50 largest images."""
    wanted = release.pods[0].spec["containers"][0]["image"]
    place = Placement(release, snapshot)
    having = sum(_has_image(fit.node, wanted) for fit in place.open)
    if not place.open:
        yield skipped("image", "no node can take the pods")
    elif having == len(place.open):
        yield passed("image", f"every node has {wanted}")
    else:
        yield passed("image", f"{having} of {len(place.open)} nodes have {wanted}; the others pull it first")


def _has_image(node: Object, wanted: str) -> bool:
    names = (name for item in node["status"].get("images") or () for name in item.get("names") or ())
    return any(name in (wanted, f"docker.io/{wanted}") for name in names)


def no_room_for_probe(release: RenderedRelease, snapshot: Snapshot) -> CheckResult | None:
    """Return why a probe would only wait for room, None when it can begin or that is not known."""
    if not snapshot.all("namespaces") and "namespaces" not in snapshot.denied:
        return warned(
            "active", f"not run: namespace {release.namespace} does not exist yet", "Create the namespace first."
        )
    if {"nodes", "pods"} & set(snapshot.denied):
        return None
    free = Placement(release, snapshot, beside=True).room(1)
    if free >= release.size:
        return None
    own = [pod for pod in snapshot.all("pods") if is_own(pod, release)]
    if own:
        text = (
            f"not run: release {release.name} already has {len(own)} pod{'s' * (len(own) > 1)}, and the nodes have "
            f"room for only {free} of {release.size} more"
        )
        return warned("active", text, "Run it before you install, or select free nodes with scheduling.nodeSelector.")
    text = f"not run: the nodes have room for {free} of the {release.size} pods of a group"
    return warned("active", text, "See the result of the check `nodes`.")
