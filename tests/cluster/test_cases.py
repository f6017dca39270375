"""Every values file that must render, on a real API server: each kind is kept whole, and the group's pods are made."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from kit.cases import valid_cases
from kit.cluster import Object, get, kubectl, present
from kit.extensions import defined, operator_kinds, present_definitions
from kit.paths import CHECKOUT, name_of
from kit.progress import wait_until
from kit.release import Release
from kit.render import render
from kit.subset import lost_paths

pytestmark = [pytest.mark.cluster, pytest.mark.minutes(2)]
LIMIT = 60
"""Seconds until LeaderWorkerSet has made the first pod, with others at once."""
AT_ONCE = 4
NAMED: Sequence[Object] = (
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
)
"""What a pod may only name when it is there."""


EXTENSIONS = {"HTTPRoute", "InferencePool", "ScaledObject", "HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule"}
"""Kinds for which there must be a case."""


@pytest.fixture(scope="module")
def needed(namespace: str) -> Iterator[None]:
    """Have the kinds of other programs that a case may need, and what it names."""
    with ExitStack() as stack:
        stack.enter_context(defined("gateway-api", "HTTPRoute"))
        stack.enter_context(defined("inference-extension", "InferencePool"))
        stack.enter_context(defined("keda", "ScaledObject"))
        stack.enter_context(present_definitions(operator_kinds()))
        missing = [one for one in NAMED if not get(one["kind"], one["metadata"]["name"])]
        stack.enter_context(present(missing, namespace))
        yield


@pytest.fixture(scope="module")
def tried(namespace: str, needed: None) -> Iterator[Mapping[Path, Future[list[str]]]]:
    """Install all cases, some at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(lost_of, case, namespace) for case in valid_cases()}


def lost_of(case: Path, namespace: str) -> list[str]:
    """Install a case, and return what the API server did not keep of it, after the first pod is there."""
    release = Release(namespace, case.stem)
    try:
        release.install(case)
        (group,) = (one for one in release.manifest() if one["kind"] == "LeaderWorkerSet")
        return release.lost() + [f"leader: {path}" for path in lost_of_leader(group, namespace)]
    finally:
        release.uninstall()


def lost_of_leader(group: Object, namespace: str) -> list[str]:
    """Return what the first pod lacks of its template; on this cluster it need not find a node."""
    name = f"{group['metadata']['name']}-0"
    wait_until(f"pod {name}", lambda: get("pod", name, namespace) is not None, LIMIT, period=0.5)
    template = group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
    return lost_paths(template, get("pod", name, namespace))


@pytest.mark.parametrize("case", valid_cases(), ids=name_of)
def test_api_server_keeps_all_of_it_and_makes_the_pod(case: Path, tried: Mapping[Path, Future[list[str]]]) -> None:
    assert tried[case].result() == []


def test_cases_have_every_kind_of_other_programs() -> None:
    assert {one["kind"] for case in valid_cases() for one in render(None, case)} >= EXTENSIONS


TENANTS = list(yaml.safe_load_all((CHECKOUT / "examples" / "tenants" / "envoy-gateway.yaml").read_text()))
"""The policies of docs/tenants.md."""


def test_api_server_keeps_the_policies_for_tenants_and_refuses_a_wrong_one(namespace: str) -> None:
    kinds = [policy["kind"] for policy in TENANTS]
    wrong: Object = copy.deepcopy(next(policy for policy in TENANTS if policy["kind"] == "SecurityPolicy"))
    wrong["spec"]["apiKeyAuth"]["extractFrom"][0]["params"] = ["key"]
    with defined("envoy-gateway", *kinds), present(TENANTS, namespace):
        stored = [get(one["kind"], one["metadata"]["name"], namespace) for one in TENANTS]
        assert [lost_paths(*pair) for pair in zip(TENANTS, stored, strict=True)] == [[], []]
        done = kubectl(
            "create", "--dry-run=server", "--filename=-", namespace=namespace, stdin=json.dumps(wrong), check=False
        )
        assert "exactly one of headers, params, or cookies must be specified" in done.stderr
