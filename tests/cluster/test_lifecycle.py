"""Upgrade, rollback, scale and uninstall on a real API server, with the real LeaderWorkerSet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
from pytest_helm_charts.clusters import Cluster

from kit import simulated
from kit.cluster import LWS, get, inventory, kubectl, objects
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.release import Release, helm_version
from kit.render import Helm, helm_program

pytestmark = [pytest.mark.cluster, pytest.mark.minutes(3)]
LIMIT = 90
"""Seconds in which a group of simulated pods is recreated."""
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"


def with_values(**values: Any) -> dict[str, Any]:
    """Return values for simulated nodes with others on top."""
    return {**simulated.VALUES, **values}


def arguments(release: Release) -> list[list[str]]:
    """Return the arguments of every pod."""
    return [pod["spec"]["containers"][0]["args"] for pod in release.pods()]


def has_in_all(release: Release, word: str) -> bool:
    """Return whether every pod has an argument."""
    found = arguments(release)
    return bool(found) and all(word in words for words in found)


def test_upgrade_rolls_the_group_and_rollback_brings_the_arguments_back(release: Release) -> None:
    release.install(PRESET, values=simulated.VALUES)
    release.wait_available(LIMIT)
    first, before = release.uids(), arguments(release)

    release.upgrade(PRESET, values=with_values(engine={"args": {"max-num-seqs": 7}}))
    release.wait_available(LIMIT, without=first)
    assert has_in_all(release, "--max-num-seqs")
    second = release.uids()

    release.rollback(1)
    release.wait_available(LIMIT, without=second)
    assert arguments(release) == before


def test_upgrade_leaves_the_pods_alone_when_nothing_in_them_changes(release: Release) -> None:
    release.install(PRESET, values=simulated.VALUES)
    release.wait_available(LIMIT)
    before = release.uids()
    release.upgrade(PRESET, values=with_values(service={"annotations": {"example.com/team": "inference"}}))
    release.wait_available(LIMIT)
    service = get("service", "vllm-leader", release.namespace)
    assert service
    assert service["metadata"]["annotations"]["example.com/team"] == "inference"
    assert release.uids() == before


def test_uninstall_leaves_nothing(release: Release) -> None:
    before = inventory(release.namespace)
    token = {"huggingFace": {"existingSecret": None, "token": "hf_example"}}
    release.install(PRESET, values=with_values(auth=token, group={"replicas": 2}))
    release.wait_available(LIMIT)
    kinds = {kind for kind, _ in inventory(release.namespace) - before}
    assert kinds >= {
        *("LeaderWorkerSet", "StatefulSet", "Pod", "Service", "ConfigMap", "Secret", "ServiceAccount"),
        *("NetworkPolicy", "PodDisruptionBudget", "ControllerRevision"),
    }
    release.uninstall()
    wait_until(
        "end of everything that the release had",
        lambda: not inventory(release.namespace) - before,
        LIMIT,
        state=lambda: inventory(release.namespace) - before,
    )


def test_second_group_comes_with_a_budget_for_whole_groups_when_scaled(release: Release) -> None:
    release.install(PRESET, values=simulated.VALUES)
    release.wait_available(LIMIT)
    first = release.uids()
    assert objects("poddisruptionbudgets", namespace=release.namespace) == []

    release.upgrade(PRESET, values=with_values(group={"replicas": 2}))
    release.wait_available(LIMIT)
    wait_until("second group", lambda: len(release.pods()) == 4, LIMIT, state=release.describe)
    release.wait_available(LIMIT)
    assert [pod["metadata"]["name"] for pod in release.pods()] == ["vllm-0", "vllm-0-1", "vllm-1", "vllm-1-1"]
    assert first < release.uids(), "the first group was recreated"
    budget = wait_until("budget", lambda: get("poddisruptionbudget", "vllm", release.namespace), 20)
    assert budget
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    wait_until("allowed disruptions", lambda: allowed(release) == 1, 30, state=lambda: budget)

    before = release.uids()
    with no_new_pods(release):
        assert evicted(release, "vllm-0")
        assert not evicted(release, "vllm-1"), "two drains at the same time took both groups"
        assert not evicted(release, "vllm-1-1")
    wait_until("first group again", lambda: len(before & release.uids()) == 2, LIMIT, state=release.describe)
    release.wait_available(LIMIT)
    wait_until("second drain", lambda: evicted(release, "vllm-1"), 30, state=release.describe)


@contextmanager
def no_new_pods(release: Release) -> Iterator[None]:
    """Keep a simulated group, which starts in a second, from coming back while the test looks at the rest."""
    kubectl("create", "quota", "no-new-pods", "--hard=pods=0", namespace=release.namespace)
    wait_until("quota", lambda: "used" in status("resourcequota", "no-new-pods", release), 30)
    yield
    kubectl("delete", "quota", "no-new-pods", namespace=release.namespace)


def evicted(release: Release, pod: str) -> bool:
    """Evict a pod as a drain of its node does, and return whether its budget allowed it."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace},
    }
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    done = kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction), check=False)
    assert done.code == 0 or "disruption budget" in done.stderr, done
    return done.code == 0


def allowed(release: Release) -> int:
    """Return how many pods may be evicted: one, as the rest of its group goes with it."""
    return int(status("poddisruptionbudget", "vllm", release).get("disruptionsAllowed", -1))


def status(kind: str, name: str, release: Release) -> dict[str, Any]:
    """Return the status of an object, which is empty until its controller has seen it."""
    found = get(kind, name, release.namespace) or {}
    return dict(found.get("status", {}))


@pytest.mark.parametrize("helm", get_args(Helm))
def test_upgrade_keeps_what_kubectl_scaled_when_replicas_are_null(
    kube_cluster: Cluster, release: Release, helm: Helm
) -> None:
    own = Release(release.namespace, helm=str(helm_program(helm)))
    own.install(PRESET, values=with_values(group={"replicas": None}))
    own.wait_available(LIMIT)
    assert replicas(kube_cluster, own) == 1, "LeaderWorkerSet's default"
    kubectl("scale", LWS, own.name, "--replicas=2", namespace=own.namespace)
    own.upgrade(PRESET, values=with_values(group={"replicas": None}, service={"annotations": {"a.example/b": "c"}}))
    assert replicas(kube_cluster, own) == 2
    own.wait_available(LIMIT)


@pytest.mark.parametrize("helm", get_args(Helm))
def test_upgrade_with_a_number_meets_what_kubectl_scaled(kube_cluster: Cluster, release: Release, helm: Helm) -> None:
    """Helm 4 applies on the server, which does not take back what another wrote, unless it is told to.

    Helm 3 sends what differs between its two manifests: nothing, until the values have another number.
    """
    own = Release(release.namespace, helm=str(helm_program(helm)))
    own.install(PRESET, values=simulated.VALUES)
    kubectl("scale", LWS, own.name, "--replicas=2", namespace=own.namespace)
    done = own.upgrade(PRESET, values=simulated.VALUES, check=False)
    if helm_version(own.helm) < (4,):
        assert done.code == 0
        assert replicas(kube_cluster, own) == 2
        own.upgrade(PRESET, values=with_values(group={"replicas": 3}))
        assert replicas(kube_cluster, own) == 3
        return
    assert done.code != 0
    assert "conflict" in done.stderr
    assert ".spec.replicas" in done.stderr
    own.upgrade(PRESET, values=simulated.VALUES, options=["--force-conflicts"])
    assert replicas(kube_cluster, own) == 1


def test_replicas_fall_to_one_when_a_number_becomes_null(kube_cluster: Cluster, release: Release) -> None:
    """A number without an owner gets LeaderWorkerSet's default. Scale first, or let an autoscaler own it."""
    release.install(PRESET, values=with_values(group={"replicas": 2}))
    release.upgrade(PRESET, values=with_values(group={"replicas": None}))
    assert replicas(kube_cluster, release) == 1


def replicas(cluster: Cluster, release: Release) -> int:
    """Return how many groups the LeaderWorkerSet is to have."""
    return int(cluster.kubectl(f"get {LWS} {release.name}", namespace=release.namespace)["spec"]["replicas"])


def test_group_is_recreated_elsewhere_when_a_node_is_lost(release: Release) -> None:
    release.install(PRESET, values=with_values(scheduling=simulated.VALUES["scheduling"] | {"nodeLossSeconds": 0}))
    release.wait_available(LIMIT)
    before = release.uids()
    worker = release.pod("vllm-0-1")
    assert worker
    lost = worker["spec"]["nodeName"]
    # As the node life-cycle controller does; it takes its own taint off again, as the node is well.
    taints = ["node.kubernetes.io/unreachable:NoExecute", "vllm-multinode-test/lost:NoSchedule"]
    kubectl("taint", "node", lost, *taints)
    try:
        release.wait_available(LIMIT, without=before)
    finally:
        for taint in taints:
            kubectl("taint", "node", lost, f"{taint}-", check=False)
    assert lost not in [pod["spec"]["nodeName"] for pod in release.pods()]
