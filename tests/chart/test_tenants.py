"""The example for several tenants behind Envoy Gateway: it fits the rendered route, and leaves no way around it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.cluster import Object
from kit.paths import CHECKOUT
from kit.render import Manifests, render
from kit.schemas import object_errors
from localcluster.crds import MODULE, SOURCES
from localcluster.programs import MODULES

EXAMPLES = CHECKOUT / "examples" / "tenants"
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
PAGE = (CHECKOUT / "docs" / "tenants.md").read_text(encoding="utf-8")


def policies() -> dict[str, Object]:
    """Return the example's policies by their kind."""
    documents = yaml.safe_load_all((EXAMPLES / "envoy-gateway.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def release() -> Manifests:
    """Return the release of the guide."""
    return render(None, PRESET, EXAMPLES / "values.yaml")


def test_policies_are_what_envoy_gateway_defines() -> None:
    assert {kind: object_errors(policy) for kind, policy in policies().items()} == {
        "SecurityPolicy": [],
        "BackendTrafficPolicy": [],
    }


def without_a_unit(policy: Object) -> None:
    del policy["spec"]["rateLimit"]["local"]["rules"][0]["limit"]["unit"]


def with_another_unit(policy: Object) -> None:
    policy["spec"]["rateLimit"]["local"]["rules"][0]["limit"]["unit"] = "Fortnight"


def with_a_typo(policy: Object) -> None:
    policy["spec"]["rateLimit"]["local"]["rule"] = []


@pytest.mark.parametrize("spoil", [without_a_unit, with_another_unit, with_a_typo])
def test_policy_that_envoy_gateway_does_not_define_is_found(spoil: Callable[[Object], None]) -> None:
    policy = copy.deepcopy(policies()["BackendTrafficPolicy"])
    spoil(policy)
    assert len(object_errors(policy)) == 1


@pytest.mark.parametrize("kind", ["SecurityPolicy", "BackendTrafficPolicy"])
def test_policy_is_for_the_route_of_the_release(kind: str) -> None:
    route = release().one("HTTPRoute")
    (target,) = policies()[kind]["spec"]["targetRefs"]
    group = route["apiVersion"].partition("/")[0]
    assert target == {"group": group, "kind": "HTTPRoute", "name": route["metadata"]["name"]}


def test_limits_are_by_the_name_that_the_key_stands_for() -> None:
    key = policies()["SecurityPolicy"]["spec"]["apiKeyAuth"]
    rules = policies()["BackendTrafficPolicy"]["spec"]["rateLimit"]["local"]["rules"]
    matches = [match for rule in rules for selector in rule["clientSelectors"] for match in selector["headers"]]
    assert {match["name"] for match in matches} == {key["forwardClientIDHeader"]}
    assert any(match.get("type") == "Distinct" for match in rules[0]["clientSelectors"][0]["headers"])
    named = {match["value"] for match in matches if "value" in match}
    assert all(f"--from-literal={name}=" in PAGE for name in named)
    assert [f"{rule['limit']['requests']} " in PAGE for rule in rules] == [True, True]


def test_vllm_neither_gets_a_tenant_s_key_nor_wants_its_own() -> None:
    assert policies()["SecurityPolicy"]["spec"]["apiKeyAuth"]["sanitize"] is True
    env = release().templates()["leader"]["spec"]["containers"][0]["env"]
    assert "VLLM_API_KEY" not in {one["name"] for one in env}


def test_only_pods_of_the_gateway_reach_the_api() -> None:
    (parent,) = release().one("HTTPRoute")["spec"]["parentRefs"]
    ingress = release().one("NetworkPolicy")["spec"]["ingress"]
    clients = [peer for rule in ingress for peer in rule["from"] if "namespaceSelector" in peer]
    labels = {f"gateway.envoyproxy.io/owning-gateway-{key}": parent[key] for key in ("name", "namespace")}
    assert [peer["podSelector"]["matchLabels"] for peer in clients] == [labels]
    open_to_all: list[Any] = [peer for rule in ingress for peer in rule["from"] if peer == {"podSelector": {}}]
    assert open_to_all == []


def test_secret_of_the_page_is_the_one_that_the_policy_reads() -> None:
    (secret,) = policies()["SecurityPolicy"]["spec"]["apiKeyAuth"]["credentialRefs"]
    assert f"kubectl create secret generic {secret['name']} " in PAGE
    files = {Path(word).name for word in PAGE.split() if word.startswith("examples/tenants/")}
    assert files == {file.name for file in EXAMPLES.iterdir()}


def test_page_names_the_version_of_the_definitions() -> None:
    package, _ = SOURCES["envoy-gateway"]
    lines = (MODULES / MODULE / "go.mod").read_text(encoding="utf-8").splitlines()
    (version,) = (line.split()[1] for line in lines if line.strip().startswith(f"{package} "))
    assert f"Envoy Gateway {version.removeprefix('v')}" in PAGE
