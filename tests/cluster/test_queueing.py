"""Kueue, the real one: groups wait for their GPUs in a queue, and are placed in one block."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kit import simulated
from kit.cluster import Object, create, kubectl, objects
from kit.doctor import ask, verdict
from kit.paths import CHECKOUT
from kit.progress import step, wait_until
from kit.release import Release
from kit.render import render
from localcluster import queueing
from localcluster.programs import version_of
from vmn.adapters.programs import Done
from vmn.core.cluster.lws import GROUP
from vmn.core.values.yaml import merged

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.alone,
    pytest.mark.skipif(not simulated.is_local_cluster(), reason="installs Kueue, which others may have"),
    pytest.mark.usefixtures("simulated_nodes", "kueue"),
]
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
API = "kueue.x-k8s.io/v1beta2"
BLOCK = "vllm-test/block"
TWO_GROUPS = {"group": {"replicas": 2}}
LIMIT = 90
"""Seconds."""
QUIET = 8
"""Seconds for which what must not happen is looked out for."""
KUEUE = tuple(map(int, version_of("kueue").removeprefix("v").split(".")))
NAMES_IN_ANNOTATIONS = KUEUE >= (0, 18)
"""Whether pods have the name of their Workload in an annotation, which may be longer than a label."""
KEEPS_SIZE = KUEUE >= (0, 19, 1)
"""Whether Kueue refuses another number of pods for a group."""


@pytest.fixture(scope="module")
def kueue() -> Iterator[None]:
    """Have Kueue."""
    with step("install Kueue"):
        queueing.install()
    try:
        yield
    finally:
        queueing.remove()


def thing(kind: str, name: str, **spec: Any) -> Object:
    """Return one of Kueue's objects."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


@contextmanager
def queue(*releases: Release, groups: int, topology: bool = False) -> Iterator[None]:
    """Have LocalQueue ``gpus`` with GPUs for so many groups of two nodes; at the end it and the releases are gone."""
    namespace = releases[0].namespace
    levels = [{"nodeLabel": BLOCK}, {"nodeLabel": "kubernetes.io/hostname"}]
    taint = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
    flavor: dict[str, Any] = {"nodeLabels": {"type": "kwok"}, "tolerations": [taint]}
    quota: list[dict[str, Any]] = [
        {"name": "nvidia.com/gpu", "nominalQuota": groups * 16},
        *({"name": name, "nominalQuota": "100000Gi"} for name in ("cpu", "memory", "ephemeral-storage")),
    ]
    resources = {
        "coveredResources": [entry["name"] for entry in quota],
        "flavors": [{"name": "vllm-test", "resources": quota}],
    }
    documents = [thing("Topology", "vllm-test", levels=levels)] if topology else []
    documents += [
        thing("ResourceFlavor", "vllm-test", **flavor, **({"topologyName": "vllm-test"} if topology else {})),
        thing("ClusterQueue", "vllm-test", namespaceSelector={}, resourceGroups=[resources]),
        thing("LocalQueue", "gpus", clusterQueue="vllm-test"),
    ]
    try:
        for document in documents:
            create(document, namespace if document["kind"] == "LocalQueue" else None)
        yield
    finally:
        for release in releases:  # a queue with something in it stays
            release.uninstall()
        for document in reversed(documents):
            where = namespace if document["kind"] == "LocalQueue" else None
            name = document["metadata"]["name"]
            kubectl("delete", f"{document['kind']}.kueue.x-k8s.io", name, "--ignore-not-found", namespace=where)


def values(**scheduling: Any) -> dict[str, Any]:
    """Return values for simulated nodes, in the queue."""
    return {"scheduling": {**simulated.VALUES["scheduling"], "queueName": "gpus", **scheduling}}


def gated(release: Release) -> list[str]:
    """Return the pods that Kueue keeps from the scheduler."""
    return [pod["metadata"]["name"] for pod in release.pods() if pod["spec"].get("schedulingGates")]


def workloads(namespace: str) -> object:
    """Return what Kueue says."""
    found = objects("workloads.kueue.x-k8s.io", namespace=namespace)
    return [(item["metadata"]["name"], item.get("status", {}).get("conditions")) for item in found]


def test_second_release_waits_until_the_first_is_gone(namespace: str) -> None:
    first, second = Release(namespace, "first"), Release(namespace, "second")
    with queue(first, second, groups=1):
        first.install(PRESET, values=values())
        first.wait_available(LIMIT)
        second.install(PRESET, values=values())
        wait_until("gated leader", lambda: gated(second), 30, state=second.describe)
        with pytest.raises(AssertionError):
            wait_until("a pod on a node", lambda: placed(second), QUIET)
        first.uninstall()
        wait_until("second", lambda: second.available(), LIMIT, state=lambda: workloads(namespace))
        assert gated(second) == []


def placed(release: Release) -> list[str]:
    """Return the nodes that the release's pods have."""
    return [pod["spec"]["nodeName"] for pod in release.pods() if pod["spec"].get("nodeName")]


def test_group_that_is_recreated_keeps_its_place(release: Release) -> None:
    with queue(release, groups=1):
        release.install(PRESET, values=values())
        release.wait_available(LIMIT)
        before = release.uids()
        wait_until(
            "another leader", lambda: leader_is_another(release, before), LIMIT, period=5, state=release.describe
        )
        release.wait_available(LIMIT, without=before)


def leader_is_another(release: Release, before: Iterable[str]) -> bool:
    """Return whether the group has another leader, and delete its worker if not.

    A simulated pod is gone at once, and LeaderWorkerSet recreates no group for a pod that is gone before it looks.
    """
    leader = release.pod("vllm-0")
    if leader and leader["metadata"]["uid"] not in before:
        return True
    kubectl("delete", "pod", "vllm-0-1", "--wait=false", "--ignore-not-found", namespace=release.namespace)
    return False


def test_two_groups_with_nodes_for_one_take_turns_in_a_queue(release: Release) -> None:
    with queue(release, groups=1):
        release.install(PRESET, values=values() | TWO_GROUPS)
        wait_until("one whole group", lambda: len(placed(release)) == 2, LIMIT, state=release.describe)
        assert len({pod["metadata"]["labels"][GROUP] for pod in release.pods() if pod["spec"].get("nodeName")}) == 1
        assert verdict(ask(release.namespace)) == "scheduling-gated"


def test_two_groups_with_nodes_for_one_hold_a_node_each_without_a_queue(release: Release) -> None:
    """The scheduler takes pod by pod: the leaders first, or not, which is a matter of milliseconds; here they are."""
    nodes = [node["metadata"]["name"] for node in simulated.nodes()][:2]
    where = {"nodeSelector": {"vllm-test/part": "yes"}, "tolerations": simulated.VALUES["scheduling"]["tolerations"]}
    release.install(PRESET, values={"scheduling": where} | TWO_GROUPS)
    wait_until("all pods", lambda: len(release.pods()) == 4, LIMIT, state=release.describe)
    for leader, node in zip(("vllm-0", "vllm-1"), nodes, strict=True):
        bind(leader, node, release.namespace)
    with simulated.labelled("vllm-test/part=yes", nodes):
        wait_until(
            "the doctor's word",
            lambda: verdict(ask(release.namespace)) == "groups-placed-in-part",
            LIMIT,
            state=lambda: verdict(ask(release.namespace)),
        )
        time.sleep(QUIET)
        assert verdict(ask(release.namespace)) == "groups-placed-in-part", "the scheduler has found them nodes"


def bind(pod: str, node: str, namespace: str) -> None:
    """Give a pod its node, as the scheduler does."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/binding"
    kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(binding))


def test_rollout_comes_to_its_end(release: Release) -> None:
    with queue(release, groups=2):
        release.install(PRESET, values=values() | TWO_GROUPS)
        release.wait_available(LIMIT)
        before = release.uids()
        release.upgrade(PRESET, values=values() | TWO_GROUPS | {"engine": {"args": {"max-num-seqs": 7}}})
        release.wait_available(LIMIT, without=before)


def test_queue_can_not_be_changed_once_the_group_serves(release: Release) -> None:
    """Kueue 0.17 refuses it before, too."""
    with queue(release, groups=1):
        release.install(PRESET, values=values())
        release.wait_available(LIMIT)
        refused = release.upgrade(PRESET, values=values(queueName="other"), check=False)
        assert refused.code != 0
        assert "field is immutable" in refused.stderr


def with_four_nodes(release: Release) -> Done:
    """Give a group of two nodes four, which the chart refuses."""
    lws = render(values() | {"group": {"nodes": 4}}, PRESET, namespace=release.namespace).one("LeaderWorkerSet")
    options = ("--server-side", "--force-conflicts", "--filename=-")
    return kubectl("apply", *options, namespace=release.namespace, stdin=json.dumps(lws), check=False)


def test_number_of_nodes_is_kept_in_a_queue(release: Release) -> None:
    with queue(release, groups=2):
        release.install(PRESET, values=values())
        refused = release.upgrade(PRESET, values=values() | {"group": {"nodes": 4}}, check=False)
        assert refused.code != 0
        assert "  - group.nodes: can't be changed in queue gpus of Kueue" in refused.stderr
        done = with_four_nodes(release)
        assert (done.code != 0) is KEEPS_SIZE, done
        assert ("spec.leaderWorkerTemplate.size: Invalid value" in done.stderr) is KEEPS_SIZE


@pytest.mark.skipif(KEEPS_SIZE, reason="this Kueue ends no Workload: it refuses another number of pods")
def test_workload_that_has_ended_is_named_and_kueue_makes_another_when_it_is_deleted(release: Release) -> None:
    with queue(release, groups=2):
        release.install(PRESET, values=values())
        release.wait_available(LIMIT)
        before = release.uids()
        assert with_four_nodes(release).code == 0
        wait_until(
            "verdict",
            lambda: verdict(ask(release.namespace)) == "queue-workload-ended",
            LIMIT,
            state=lambda: (verdict(ask(release.namespace)), release.describe(), workloads(release.namespace)),
        )
        for item in objects("workloads.kueue.x-k8s.io", namespace=release.namespace):
            kubectl("delete", "workloads.kueue.x-k8s.io", item["metadata"]["name"], namespace=release.namespace)
        release.wait_available(LIMIT, without=before)
        assert len(placed(release)) == 4


@pytest.mark.parametrize(("length", "admitted"), [(39, True), (40, False), (45, False)])
def test_name_is_as_long_as_every_kueue_admits(namespace: str, length: int, admitted: bool) -> None:
    release = Release(namespace, "a" * length)
    with queue(release, groups=1):
        done = release.install(PRESET, values=values(), check=False)
        assert (done.code == 0) is admitted
        if admitted:
            release.wait_available(LIMIT)
            return
        assert f"has {length} characters" in done.stderr
        given = merged(simulated.VALUES, {"serviceAccount": {"create": False}})
        lws = render(given, PRESET, namespace=namespace, release="x").one("LeaderWorkerSet")
        lws = {**lws, "metadata": {**lws["metadata"], "name": release.name}}
        lws["metadata"]["labels"] = {**lws["metadata"]["labels"], "kueue.x-k8s.io/queue-name": "gpus"}
        try:
            create(lws, namespace)
            if NAMES_IN_ANNOTATIONS:
                release.wait_available(LIMIT)
                return
            wait_until(
                "verdict",
                lambda: verdict(ask(namespace, release.name)) == "queue-name-too-long",
                LIMIT,
                state=lambda: (verdict(ask(namespace, release.name)), release.describe()),
            )
        finally:
            kubectl("delete", "leaderworkerset", release.name, "--ignore-not-found", namespace=namespace)


def test_group_lands_in_one_block(release: Release) -> None:
    """Nodes of two blocks take turns: whoever ignores blocks takes one node of each."""
    nodes = [node["metadata"]["name"] for node in simulated.nodes()][:4]
    blocks = {name: f"block-{index % 2}" for index, name in enumerate(nodes)}
    with (
        simulated.labelled(f"{BLOCK}=block-0", nodes[::2]),
        simulated.labelled(f"{BLOCK}=block-1", nodes[1::2]),
        queue(release, groups=2, topology=True),
    ):
        release.install(PRESET, values=values(topology={"required": BLOCK}))
        release.wait_available(LIMIT)
        found = placed(release)
        assert len(set(found)) == 2
        assert len({blocks[name] for name in found}) == 1, json.dumps(found)
