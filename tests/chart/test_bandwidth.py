"""The init container that measures the bandwidth: what it shares with vLLM's container, and the floors of fabrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from chart.test_fabrics import PROFILES
from kit.diff import changed_paths
from kit.paths import CHART, CHECKOUT
from kit.render import Manifests, render

MODEL = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
AICR = "NVIDIA/aicr, recipes/overlays"
FLOORS: Mapping[str, tuple[float, str]] = {
    # profile: (GB/s for 8 GPUs per node, source)
    "tcp": (0.3, "a quarter of 10 Gbit/s; NVIDIA/aicr, docs/integrator/gke-tcpxo-networking.md: ~4 GB/s with TCP"),
    "infiniband": (120, f"{AICR}/h100-aks-training.yaml: 150, measured 157 untuned on 8 x 400 Gbit/s"),
    "roce": (120, "as infiniband: the same adapters and verbs"),
    "efa": (240, f"{AICR}/h100-eks-ubuntu-training.yaml: 300 on p5.48xlarge with 32 EFA devices"),
    "gpudirect-tcpxo": (200, f"{AICR}/h100-gke-cos-training.yaml: 250; nccl-tests on two A3 Mega: 298 with 1 GiB"),
    "gib": (120, "as infiniband: A3 Ultra has 8 x 400 Gbit/s of the same adapters"),
    "mnnvl": (400, f"{AICR}/gb200-eks-training.yaml: 500 over NVLink between nodes"),
}
"""The chart's floors are 0.8 of AICR's, for an all-reduce of 1 GiB instead of 16 GiB."""


def checked(fabric: Mapping[str, Any] | None = None, **values: Any) -> Manifests:
    """Return what the chart renders with the check."""
    check = {"enabled": True, **dict((fabric or {}).get("bandwidthCheck", {}))}
    return render({**MODEL, **values, "fabric": {**dict(fabric or {}), "bandwidthCheck": check}})


def container(manifests: Manifests, role: str = "leader") -> dict[str, Any]:
    """Return the init container of a role."""
    (found,) = (one for one in manifests.templates()[role]["spec"]["initContainers"] if one["name"] == "bandwidth")
    return dict(found)


def env_of(one: Mapping[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in one["env"]}


def spec_of(manifests: Manifests) -> dict[str, Any]:
    """Return the settings of the program."""
    return dict(json.loads(env_of(container(manifests))["MULTINODE_BANDWIDTH"]))


def test_nothing_is_added_when_the_check_is_off() -> None:
    for manifests in (render(MODEL), render(None, CHECKOUT / "values" / "deepseek-r1.yaml")):
        assert "bandwidth" not in json.dumps(list(manifests))


def test_check_adds_a_container_a_volume_and_a_configmap_and_changes_nothing_else() -> None:
    before, after = render(MODEL), checked()
    assert after.inventory() - before.inventory() == {("ConfigMap", "vllm-bandwidth")}
    changed = {path.partition("[")[0] for path in changed_paths(before.templates(), after.templates())}
    assert changed == {f"{role}.spec.{key}" for role in ("leader", "worker") for key in ("initContainers", "volumes")}


@pytest.mark.parametrize("name", PROFILES)
def test_container_has_what_vllms_container_has_but_no_secret(name: str) -> None:
    fabric = {"profile": name, **PROFILES[name].values}
    manifests = checked(fabric, auth={"apiKey": {"existingSecret": "keys"}})
    for role in ("leader", "worker"):
        own, main = container(manifests, role), manifests.templates()[role]["spec"]["containers"][0]
        for key in ("image", "imagePullPolicy", "resources", "securityContext"):
            assert own[key] == main[key], key
        assert own["volumeMounts"][1:] == main["volumeMounts"]
        theirs = env_of(main)
        assert {key: value for key, value in env_of(own).items() if key.startswith(("NCCL_", "GLOO_", "FI_"))} == {
            key: value for key, value in theirs.items() if key.startswith(("NCCL_", "GLOO_", "FI_"))
        }
        assert not {"VLLM_API_KEY", "HF_TOKEN"} & set(env_of(own))
        assert "secretKeyRef" not in json.dumps(own)


@pytest.mark.parametrize("name", PROFILES)
def test_program_starts_with_the_vendors_settings_where_vllm_does(name: str) -> None:
    own = container(checked({"profile": name, **PROFILES[name].values}))
    program = "/etc/vllm-multinode-bandwidth/bandwidth.py"
    main = checked({"profile": name, **PROFILES[name].values}).templates()["leader"]["spec"]["containers"][0]
    if main["command"][-1].endswith("fabric.sh"):
        assert (own["command"], env_of(own)["MULTINODE_PROGRAM"]) == (main["command"], program)
    else:
        assert (own["command"], "MULTINODE_PROGRAM" in env_of(own)) == (["python3", "-B", program], False)


def test_every_profile_has_a_floor_with_a_source() -> None:
    profiles = yaml.safe_load((CHART / "files" / "fabrics.yaml").read_text(encoding="utf-8"))
    assert set(FLOORS) == set(profiles)
    assert [name for name, profile in profiles.items() if len(profile["floor"]) != 1] == []


@pytest.mark.parametrize("name", FLOORS)
def test_floor_is_that_of_the_profile(name: str) -> None:
    assert spec_of(checked({"profile": name, **PROFILES[name].values}))["floor"] == FLOORS[name][0]


def test_floor_follows_the_gpus_of_a_node_unless_it_is_set() -> None:
    efa: dict[str, Any] = {"profile": "efa", "resourceCount": 8}
    assert spec_of(checked(efa, group={"gpusPerNode": 2}))["floor"] == 60
    assert spec_of(checked({**efa, "bandwidthCheck": {"floorGBps": 7.5}}))["floor"] == 7.5


def test_group_of_one_node_has_no_floor() -> None:
    assert "floor" not in spec_of(checked(group={"nodes": 1}))


def test_program_measures_on_the_cpu_without_gpus() -> None:
    assert spec_of(checked(group={"gpuResource": None}))["gpus"] == 0
    assert spec_of(checked(group={"gpusPerNode": 4}))["gpus"] == 4


def test_container_stays_after_a_failure_and_uses_the_rendezvous_port() -> None:
    manifests = checked(startup={"backoffSeconds": 7, "leaderAddressSeconds": 90}, engine={"masterPort": 30000})
    found = spec_of(manifests)
    assert (found["stays"], found["backoff"], found["meet"], found["port"]) == (True, 7, 90, 30000)


def test_measurement_comes_after_the_fabrics_daemon_and_before_the_download() -> None:
    fabric = {"profile": "gpudirect-tcpxo", **PROFILES["gpudirect-tcpxo"].values}
    weights = {
        "source": "volume",
        "volume": {"type": "hostPath", "hostPath": "/mnt/models"},
        "download": {"enabled": True},
    }
    own = {"extraInitContainers": [{"name": "prepare", "image": "busybox:1.37"}], "weights": weights}
    spec = checked(fabric, **own).templates()["worker"]["spec"]
    names = [one["name"] for one in spec["initContainers"]]
    assert names == ["tcpxo-daemon", "prepare", "bandwidth", "weights"]


def test_program_is_complete_in_the_configmap() -> None:
    data = checked().one("ConfigMap", "vllm-bandwidth")["data"]
    assert set(data) == {file.name for file in (CHART / "files" / "bandwidth").glob("*.py")}
    assert {"bandwidth.py", "measure.py", "verdict.py"} <= set(data)


def test_change_of_the_program_restarts_no_pods() -> None:
    annotations = checked().templates()["leader"]["metadata"]["annotations"]
    assert (
        annotations["checksum/scripts"]
        == render(MODEL).templates()["leader"]["metadata"]["annotations"]["checksum/scripts"]
    )
