"""What restarts in place change in the rendered objects: PID 1, its variables, the probes, and the scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from kit.diff import changed_paths
from kit.paths import CHART, CHECKOUT
from kit.render import Manifests, render

MODEL = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
ON = {"group": {"inPlaceRestart": {"enabled": True}}}
ALLOWED = (
    r"metadata\.annotations\.checksum/scripts",
    r"spec\.containers\[vllm-(leader|worker)\]\.command.*",
    r"spec\.containers\[vllm-(leader|worker)\]\.(startup|readiness|liveness)Probe\..*",
    r"spec\.containers\[vllm-(leader|worker)\]\.env\[MULTINODE_(ENTRYPOINT|RESTARTS|RESTART_WINDOW_SECONDS|STARTUP_SECONDS)\].*",
)
"""Paths of a pod template."""


def container(manifests: Manifests, role: str = "leader") -> Mapping[str, Any]:
    """Return vLLM's container of a role."""
    found: Mapping[str, Any] = manifests.templates()[role]["spec"]["containers"][0]
    return found


def env_of(manifests: Manifests) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in container(manifests)["env"]}


def test_nothing_is_rendered_when_restarts_in_place_are_off() -> None:
    for manifests in (render(MODEL), render(None, CHECKOUT / "values" / "deepseek-r1.yaml")):
        assert "restart.py" not in json.dumps(list(manifests))
        assert "MULTINODE_RESTART" not in json.dumps(list(manifests))


@pytest.mark.parametrize("role", ["leader", "worker"])
def test_only_pid_1_its_variables_and_the_probes_change(role: str) -> None:
    before, after = render(MODEL), render({**MODEL, **ON})
    assert before.inventory() == after.inventory()
    changed = changed_paths(before.templates()[role], after.templates()[role])
    assert [path for path in changed if not any(re.fullmatch(form, path) for form in ALLOWED)] == []
    assert any("readinessProbe" in path for path in changed)


def test_configmap_has_the_programs_without_changing_the_scripts() -> None:
    before, after = (
        {name: text for item in manifests.all("ConfigMap") for name, text in item["data"].items()}
        for manifests in (render(MODEL), render({**MODEL, **ON}))
    )
    own = {file.name for file in (CHART / "files" / "restart").iterdir() if file.is_file()}
    assert after.keys() - before.keys() == own
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("fabric", "script"),
    [({}, "entrypoint.sh"), ({"interface": "auto"}, "fabric.sh")],
    ids=["TCP", "an interface that is looked for"],
)
def test_pid_1_starts_what_would_be_pid_1_otherwise(fabric: dict[str, Any], script: str) -> None:
    off, on = render({**MODEL, "fabric": fabric}), render({**MODEL, **ON, "fabric": fabric})
    assert container(on)["command"] == ["python3", "-B", "/etc/vllm-multinode/restart.py"]
    assert container(on)["args"] == container(off)["args"]
    assert container(off)["command"][-1] == env_of(on)["MULTINODE_ENTRYPOINT"] == f"/etc/vllm-multinode/{script}"


@pytest.mark.parametrize(
    ("value", "variable"), [("keepWeights", "MULTINODE_KEEP_WEIGHTS"), ("standby", "MULTINODE_KEEP_STANDBY")]
)
def test_what_restarts_in_place_keep_only_adds_a_variable(value: str, variable: str) -> None:
    values = {"group": {"inPlaceRestart": {"enabled": True, value: True}}}
    before, after = render({**MODEL, **ON}), render({**MODEL, **values})
    for role in ("leader", "worker"):
        changed = changed_paths(before.templates()[role], after.templates()[role])
        name = f"spec.containers[vllm-{role}].env[{variable}]"
        assert changed
        assert [path for path in changed if not path.startswith(name)] == []
    assert env_of(after)[variable] == "yes"
    off, allowed = render(MODEL), render({**MODEL, "networkPolicy": {"enabled": True}, **values})
    assert variable not in env_of(off)
    assert allowed.one("NetworkPolicy")["spec"]["ingress"][0].keys() == {"from"}  # all ports, among the group's pods


def test_limits_are_those_of_the_values() -> None:
    values = {"group": {"inPlaceRestart": {"enabled": True, "maxRestarts": 5, "windowSeconds": 600}}}
    env = env_of(render({**MODEL, **values, "startup": {"budgetSeconds": 900}}))
    assert (env["MULTINODE_RESTARTS"], env["MULTINODE_RESTART_WINDOW_SECONDS"]) == ("5", "600")
    assert env["MULTINODE_STARTUP_SECONDS"] == "900"


@pytest.mark.parametrize("role", ["leader", "worker"])
def test_readiness_is_asked_for_every_second_and_waits_as_long_as_without(role: str) -> None:
    readiness = {"periodSeconds": 4, "failureThreshold": 6, "timeoutSeconds": 3}
    one = container(render({**MODEL, **ON, "probes": {"readiness": readiness}}), role)
    probe = one["readinessProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"], probe["timeoutSeconds"]) == (1, 1, 8)
    assert probe["exec"]["command"][2:] == ["readiness", "3", "20"]
    assert one["livenessProbe"]["exec"]["command"][2:] == ["liveness", "10"]
    assert one["livenessProbe"]["failureThreshold"] == 12
