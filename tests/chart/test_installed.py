"""What can't be changed any more is refused where Helm asks a cluster, which a small API server stands for."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.discovery import DiscoverableCluster
from kit.paths import CHART, CHECKOUT
from kit.render import RENDER_LIMIT, Helm, helm_program, render, yaml_of
from vmn.core.values.helm_messages import rule_problems
from vmn.core.values.yaml import merged

Object = dict[str, Any]
pytestmark = pytest.mark.slow
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
CLAIMS: Object = {"cache": {"type": "volumeClaimTemplate", "size": "20Gi", "storageClassName": "fast"}}
AUTOSCALED: Object = {"autoscaling": {"type": "hpa"}}
SUBGROUPS: Object = {"scheduling": {"subGroup": {"size": 1}}}


def cache(**changes: Any) -> Object:
    return {"cache": {**CLAIMS["cache"], **changes}}


def installed(values: Mapping[str, Any]) -> Object:
    """Return the LeaderWorkerSet of a release with these values."""
    lws: Object = copy.deepcopy(render(values, PRESET).one("LeaderWorkerSet"))
    owner = {"meta.helm.sh/release-name": "vllm", "meta.helm.sh/release-namespace": "default"}
    lws["metadata"] |= {"generation": 1, "annotations": {**lws["metadata"].get("annotations", {}), **owner}}
    lws["status"] = {"observedGeneration": 1}
    return lws


def leaders(lws: Object) -> Object:
    """Return the StatefulSet that LeaderWorkerSet creates, as the API server completes and returns it."""
    claims = copy.deepcopy(lws["spec"]["leaderWorkerTemplate"].get("volumeClaimTemplates", []))
    for claim in claims:
        claim["spec"]["volumeMode"] = "Filesystem"
        claim["status"] = {"phase": "Pending"}
    spec = {"volumeClaimTemplates": claims} if claims else {}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "vllm"}, "spec": spec}


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., str]:
    """Return a function that renders values against a cluster and returns what Helm says, empty when it succeeds."""

    def said(values: Mapping[str, Any], helm: Helm = "helm", **objects: list[Object]) -> str:
        config, file = tmp_path / "kubeconfig", tmp_path / "values.yaml"
        file.write_text(yaml_of(values), encoding="utf-8")
        command = [helm_program(helm), "template", "vllm", CHART, "--dry-run=server", "--skip-tests"]
        command += ["--validate"] if helm == "helm3" else []  # without it, Helm 3 does not ask which kinds there are
        options = ["--disable-openapi-validation", "--kubeconfig", config, "--values", PRESET, "--values", file]
        with DiscoverableCluster(objects).serving(config, "default"):
            done = subprocess.run(
                [*map(str, [*command, *options])],
                capture_output=True,
                text=True,
                timeout=RENDER_LIMIT,
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
                check=False,
            )
        assert (done.returncode == 0) is bool(done.stdout), done.stderr
        return "" if done.returncode == 0 else done.stderr

    return said


CHANGES: Mapping[str, tuple[Object, Object, list[str]]] = {
    # what changes: (values before, values after, the keys that are refused)
    "type to claims": ({}, CLAIMS, ["cache.type"]),
    "type to claims from a hostPath": ({"cache": {"type": "hostPath", "hostPath": "/c"}}, CLAIMS, ["cache.type"]),
    "type from claims": (CLAIMS, {"cache": {"type": "emptyDir"}}, ["cache.type"]),
    "larger": (CLAIMS, cache(size="30Gi"), ["cache.size"]),
    "smaller": (CLAIMS, cache(size="10Gi"), ["cache.size"]),
    "size in other units": (CLAIMS, cache(size="20G"), ["cache.size"]),
    "class": (CLAIMS, cache(storageClassName="slow"), ["cache.storageClassName"]),
    "class to the default": (CLAIMS, cache(storageClassName=None), ["cache.storageClassName"]),
    "class from the default": (cache(storageClassName=None), CLAIMS, ["cache.storageClassName"]),
    "both": (CLAIMS, cache(size="1Ti", storageClassName="slow"), ["cache.size", "cache.storageClassName"]),
    "with subgroups": (merged(CLAIMS, SUBGROUPS), merged(cache(size="30Gi"), SUBGROUPS), ["cache.size"]),
    "with an autoscaler": (merged(CLAIMS, AUTOSCALED), merged(cache(size="30Gi"), AUTOSCALED), ["cache.size"]),
}
KEPT: Mapping[str, tuple[Object, Object]] = {
    "nothing": (CLAIMS, CLAIMS),
    "no claims": ({}, {"cache": {"type": "hostPath", "hostPath": "/c"}}),
    "the same size": (cache(size="1.5Gi"), cache(size="1536Mi")),
    "the same size in decimal units": (cache(size="20G"), cache(size="20000M")),
    "arguments": (CLAIMS, merged(CLAIMS, {"engine": {"args": {"max-num-seqs": 7}}})),
    "number of groups": (CLAIMS, merged(CLAIMS, {"group": {"replicas": 3}})),
    "number of nodes": (CLAIMS, merged(CLAIMS, {"group": {"nodes": 4}})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_the_claims_is_refused(ask: Callable[..., str], change: str) -> None:
    before, after, keys = CHANGES[change]
    lws = installed(before)
    found = rule_problems(ask(after, leaderworkersets=[lws], statefulsets=[leaders(lws)]))
    assert [item.key for item in found] == keys
    assert all("can't be changed" in item.reason and "uninstall the release" in item.fix for item in found)


@pytest.mark.parametrize("change", KEPT)
def test_change_of_anything_else_is_accepted(ask: Callable[..., str], change: str) -> None:
    before, after = KEPT[change]
    lws = installed(before)
    assert ask(after, leaderworkersets=[lws], statefulsets=[leaders(lws)]) == ""


def test_first_installation_is_accepted(ask: Callable[..., str]) -> None:
    assert ask(CLAIMS) == ""


QUEUED: Object = {"scheduling": {"queueName": "gpus"}}
LONG = "a" * 45


def of_nodes(count: int) -> Object:
    return {"group": {"nodes": count}}


@pytest.mark.parametrize("nodes", [1, 3, 4])
@pytest.mark.parametrize("asks_for_the_queue", [True, False])
def test_number_of_nodes_can_not_be_changed_in_a_queue(
    ask: Callable[..., str], nodes: int, asks_for_the_queue: bool
) -> None:
    """The label counts, which Kueue also sets itself where it has a default LocalQueue."""
    lws = installed(QUEUED)
    values = merged(QUEUED if asks_for_the_queue else {}, of_nodes(nodes))
    found = rule_problems(ask(values, leaderworkersets=[lws], statefulsets=[leaders(lws)]))
    assert [(item.key, item.value) for item in found] == [("group.nodes", str(nodes))]
    assert "Set group.nodes: 2, or uninstall the release" in found[0].fix


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (QUEUED, QUEUED),
        (QUEUED, merged(QUEUED, {"group": {"replicas": 2}})),
        ({}, of_nodes(4)),
    ],
)
def test_number_of_groups_and_of_nodes_without_a_queue_can_be_changed(
    ask: Callable[..., str], before: Object, after: Object
) -> None:
    lws = installed(before)
    assert ask(after, leaderworkersets=[lws], statefulsets=[leaders(lws)]) == ""


def test_long_name_of_a_release_that_exists_is_kept(ask: Callable[..., str]) -> None:
    """Newer versions of Kueue accept the name, and a release can't be renamed."""
    values = merged(QUEUED, {"fullnameOverride": LONG})
    found = rule_problems(ask(values))
    assert [item.key for item in found] == ["fullnameOverride"]
    lws = installed({})
    lws["metadata"] |= {"name": LONG, "labels": {**lws["metadata"]["labels"], "kueue.x-k8s.io/queue-name": "gpus"}}
    assert ask(values, leaderworkersets=[lws]) == ""


def test_helm_3_refuses_it_too(ask: Callable[..., str]) -> None:
    lws = installed(CLAIMS)
    found = rule_problems(ask(cache(size="30Gi"), "helm3", leaderworkersets=[lws], statefulsets=[leaders(lws)]))
    assert [item.key for item in found] == ["cache.size"]


def test_claims_that_were_changed_before_can_be_set_back_and_not_be_kept(ask: Callable[..., str]) -> None:
    """After ``kubectl apply``: the LeaderWorkerSet asks for claims that its StatefulSet does not have."""
    there = leaders(installed(CLAIMS))
    broken = installed(cache(size="30Gi"))
    broken["metadata"]["generation"] = 2
    assert ask(CLAIMS, leaderworkersets=[broken], statefulsets=[there]) == ""
    found = rule_problems(ask(cache(size="30Gi"), leaderworkersets=[broken], statefulsets=[there]))
    assert [item.key for item in found] == ["cache.size"]
