"""Pod Security by the API server: ``restricted`` takes the defaults, and refuses a fabric that needs root."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kit import simulated
from kit.cluster import kubectl, objects
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.release import Release
from kit.render import render
from vmn.cli import main
from vmn.core.values.yaml import merged

pytestmark = pytest.mark.cluster
LEVEL = "pod-security.kubernetes.io/enforce"
LIMIT = 90
"""Seconds for simulated pods to be made."""
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
PASSES: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "a user that the cluster chooses": {"security": {"userId": None}},
    "interface that is found": {"fabric": {"interface": "auto"}},
}
REFUSED: Mapping[str, Mapping[str, Any]] = {
    "infiniband": {"fabric": {"profile": "infiniband", "resourceName": "rdma/hca"}},
    "efa": {"fabric": {"profile": "efa"}},
    "gpudirect-tcpxo": {"fabric": {"profile": "gpudirect-tcpxo", "networks": ["vpc1"]}},
    "gib": {"fabric": {"profile": "gib", "networks": ["rdma-0"]}},
    "host network": {"fabric": {"hostNetwork": True, "interface": "eth0"}},
}


@pytest.fixture
def restricted(namespace: str) -> Iterator[str]:
    """Give a namespace that admits nothing but ``restricted`` pods."""
    kubectl("label", "namespace", namespace, f"{LEVEL}=restricted")
    yield namespace
    kubectl("label", "namespace", namespace, f"{LEVEL}-")


def admission(folder: Path, namespace: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what preflight says of the admission of the pods."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(merged(simulated.VALUES, values)), encoding="utf-8")
    command = ["preflight", "--values", str(PRESET), "--values", str(file), "--namespace", namespace, "-o", "json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code in (0, 1), done.output
    found: Mapping[str, Any] = next(
        item for item in json.loads(done.stdout)["findings"] if item["check"] == "admission"
    )
    return found


@pytest.mark.parametrize("name", PASSES)
def test_restricted_namespace_takes_the_pods(name: str, restricted: str, release: Release, tmp_path: Path) -> None:
    values = merged(simulated.VALUES, PASSES[name])
    assert admission(tmp_path, restricted, PASSES[name])["status"] == "PASS"
    release.install(PRESET, values=values)
    release.wait_available(LIMIT)
    assert len(release.pods()) == 2


def test_restricted_namespace_takes_the_pod_of_helm_test(restricted: str) -> None:
    template = render({"model": {"name": "tiny"}}, namespace=restricted).one("Job")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "helm-test"}, "spec": template["spec"]}
    done = kubectl("create", "--dry-run=server", "--filename=-", namespace=restricted, stdin=json.dumps(pod))
    assert "helm-test created" in done.stdout


@pytest.mark.parametrize("name", REFUSED)
def test_fabric_that_opens_more_is_refused_there_and_preflight_says_so_before(
    name: str, restricted: str, tmp_path: Path
) -> None:
    said = admission(tmp_path, restricted, REFUSED[name])
    assert said["status"] == "FAIL"
    assert 'violates PodSecurity "restricted' in said["text"]
    assert LEVEL in said["fix"]


def test_server_makes_no_pod_of_a_fabric_that_needs_root(restricted: str, release: Release) -> None:
    release.install(PRESET, values=merged(simulated.VALUES, REFUSED["infiniband"]))

    def refused() -> list[str]:
        events = objects("events", namespace=restricted)
        return [item["message"] for item in events if "violates PodSecurity" in item.get("message", "")]

    wait_until("the server refuses the leader", lambda: bool(refused()), LIMIT)
    assert "runAsUser=0" in refused()[0]
    assert release.pods() == []
