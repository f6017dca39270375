"""The objects of ``vmn preflight --active``: valid, and like the release's pods where that matters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from kit.paths import CHECKOUT
from kit.render import render
from kit.schemas import object_errors
from vmn.adapters.probe_job import program
from vmn.app.preflight import expect
from vmn.core.cluster.lws import GROUP, NAME
from vmn.core.cluster.release import INSTANCE
from vmn.core.cluster.rendered import RenderedRelease, references
from vmn.core.preflight.probe.expectations import Expectations, expectations_of
from vmn.core.preflight.probe.job import ProbeRun, probe_run
from vmn.core.preflight.probe.rbac import Right, rights, rules
from vmn.core.values.yaml import merged

R1, TINY = (CHECKOUT / "values" / f"{name}.yaml" for name in ("deepseek-r1", "tiny-cpu"))
RDMA = {
    "fabric": {"profile": "roce", "resourceName": "rdma/hca", "interface": "eth0", "gidIndex": 3},
    "resources": {"limits": {"memory": "512Gi"}},
}
CLAIM = {
    "weights": {
        "source": "volume",
        "path": "/models/R1",
        "volume": {"type": "persistentVolumeClaim", "claimName": "models", "size": None, "hostPath": None},
    }
}


def demand(values: Mapping[str, Any] | None = None, file: Any = R1) -> RenderedRelease:
    return RenderedRelease("vllm", "default", render(values, file).documents)


def run_of(release: RenderedRelease) -> ProbeRun:
    return probe_run(release, expectations_of(release), program(), "abc123", 300)


def measuring_run_of(values: Mapping[str, Any], file: Any = R1) -> ProbeRun:
    """Return the objects of a probe that also measures the bandwidth."""
    measured = merged(values, {"fabric": {"bandwidthCheck": {"enabled": True}}})
    release = demand(values, file)
    return probe_run(release, expect(release, demand(measured, file)), program(), "abc123", 300)


def environment(run: ProbeRun) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in pod_of(run)["containers"][0]["env"]}


def pod_of(run: ProbeRun) -> Any:
    return run.objects[0]["spec"]["template"]["spec"]


@pytest.mark.parametrize("values", [None, RDMA, CLAIM], ids=["plain", "RDMA", "claim"])
@pytest.mark.parametrize("file", [R1, TINY], ids=["r1", "tiny"])
def test_objects_are_valid_for_the_api_server(file: Any, values: Mapping[str, Any] | None) -> None:
    run = run_of(demand(values, file))
    assert [error for item in run.objects for error in object_errors(json.loads(json.dumps(item)))] == []
    assert [item["kind"] for item in run.objects] == ["Job", "Service", "ConfigMap", "NetworkPolicy"]
    assert {item["metadata"]["name"] for item in run.objects} == {"vmn-preflight-abc123"}
    assert {item["metadata"]["labels"]["app.kubernetes.io/managed-by"] for item in run.objects} == {"vmn"}


def test_job_ends_by_itself_and_is_never_repeated() -> None:
    job = run_of(demand()).objects[0]["spec"]
    assert (job["completions"], job["parallelism"], job["backoffLimit"]) == (2, 2, 0)
    assert (job["activeDeadlineSeconds"], job["ttlSecondsAfterFinished"]) == (330, 300)
    assert job["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    "values",
    [
        {"scheduling": {"nodeSelector": {"pool": "h100"}, "runtimeClassName": "nvidia", "schedulerName": "other"}},
        {"scheduling": {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}},
        {"image": {"pullSecrets": ["registry"]}, "security": {"podSecurityContext": {"supplementalGroups": [44]}}},
        {"fabric": {"hostNetwork": True, "interface": "bond0"}},
        RDMA,
    ],
    ids=["selector", "tolerations", "image", "host network", "RDMA"],
)
def test_pods_are_placed_and_allowed_like_the_release_s(values: Mapping[str, Any]) -> None:
    release = demand(values)
    theirs, mine = release.pods[0].spec, pod_of(run_of(release))
    for key in (
        "nodeSelector",
        "tolerations",
        "runtimeClassName",
        "schedulerName",
        "hostNetwork",
        "dnsPolicy",
        "imagePullSecrets",
        "securityContext",
        "enableServiceLinks",
    ):
        assert mine.get(key) == theirs.get(key), key
    for key in ("image", "imagePullPolicy", "resources", "securityContext"):
        assert mine["containers"][0][key] == theirs["containers"][0][key], key


def test_pods_have_the_release_s_volumes_except_those_that_it_creates() -> None:
    more = {"extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}, {"name": "fast", "emptyDir": {}}]}
    mounts = [{"name": "ca", "mountPath": "/ca"}, {"name": "fast", "mountPath": "/fast"}]
    spec = pod_of(run_of(demand({**CLAIM, **more, "extraVolumeMounts": mounts})))
    paths = {item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
    assert paths == {"/dev/shm", "/tmp", "/cache", "/models", "/fast", "/vmn"}
    assert {item["name"] for item in spec["volumes"]} == {
        "dshm",
        "tmp",
        "cache",
        "weights",
        "fast",
        "vmn-preflight-abc123",
    }
    weights = next(item for item in spec["volumes"] if item["name"] == "weights")
    assert weights["persistentVolumeClaim"] == {"claimName": "models"}


def test_pods_carry_no_secret_and_nothing_else_of_the_release_s() -> None:
    values = {"auth": {"apiKey": {"existingSecret": "key"}}, "extraContainers": [{"name": "more", "image": "x:1"}]}
    spec = pod_of(run_of(demand(values)))
    assert [item.kind for item in references(spec)] == ["ConfigMap"]
    assert [item["name"] for item in spec["containers"]] == ["preflight"]
    assert "serviceAccountName" not in spec
    assert not {"livenessProbe", "startupProbe", "lifecycle", "ports", "args"} & set(spec["containers"][0])


def test_service_account_that_the_release_does_not_create_is_kept() -> None:
    spec = pod_of(run_of(demand({"serviceAccount": {"create": False, "name": "models"}})))
    assert spec["serviceAccountName"] == "models"


def test_pods_preempt_no_other_pod_and_have_no_init_container() -> None:
    values = {
        "scheduling": {"priorityClassName": "high"},
        "extraInitContainers": [{"name": "download", "image": "x:1"}],
    }
    assert not {"priorityClassName", "initContainers"} & set(pod_of(run_of(demand(values))))


def test_no_selector_of_the_release_or_of_lws_finds_the_pods() -> None:
    values = {"podLabels": {"team": "x"}, "podAnnotations": {"k8s.v1.cni.cncf.io/networks": "rdma"}}
    template = run_of(demand(values)).objects[0]["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "x"
    assert "role" not in template["labels"]
    assert template["labels"]["app.kubernetes.io/name"] == "vmn-preflight"
    assert [name for name in template["labels"] if "leaderworkerset" in name] == []
    assert template["annotations"]["k8s.v1.cni.cncf.io/networks"] == "rdma"


def test_pods_have_anti_affinity_only_to_each_other() -> None:
    run = run_of(demand())
    text = json.dumps(run.objects)
    assert NAME not in text
    assert GROUP not in text
    (term,) = pod_of(run)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {INSTANCE: run.name}}}


def test_pods_stay_in_one_domain_when_the_group_does() -> None:
    spec = pod_of(run_of(demand({"scheduling": {"topologyKey": "rack"}})))
    (term,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "rack"


def test_policy_of_the_release_is_copied_for_the_pods() -> None:
    run = run_of(demand())
    policy = run.objects[-1]["spec"]
    mine = {"matchLabels": {INSTANCE: run.name}}
    assert policy["podSelector"] == mine
    assert policy["ingress"][0]["from"] == [{"podSelector": mine}]
    assert policy["egress"][0]["to"] == [{"podSelector": mine}]
    without = run_of(demand({"networkPolicy": {"enabled": False}}))
    assert [item["kind"] for item in without.objects] == ["Job", "Service", "ConfigMap"]


def test_pods_find_each_other_as_the_ranks_do() -> None:
    run = run_of(demand())
    service, spec = run.objects[1]["spec"], pod_of(run)
    told = json.loads(next(item["value"] for item in spec["containers"][0]["env"] if item["name"] == "VMN_ACTIVE"))
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert spec["subdomain"] == run.objects[1]["metadata"]["name"]
    assert told["name"] == f"{run.name}-0.{run.name}.default"
    assert (told["port"], told["nodes"], told["limit"]) == (29501, 2, 300)


def test_expectations_come_from_the_template() -> None:
    plain = expectations_of(demand())
    assert (plain.gpus, plain.resource, plain.counts_gpus) == (8, "nvidia.com/gpu", True)
    assert (plain.weights, plain.rdma, plain.interface) == (None, False, None)
    home = "/cache/v0.33.0-deepseek-ai--deepseek-r1/home"
    assert (plain.shared_memory, plain.writable) == (32 * 2**30, (home, "/models/huggingface"))
    fabric = expectations_of(demand(RDMA))
    assert (fabric.rdma, fabric.gid, fabric.interface, fabric.gpus) == (True, 3, "eth0", 8)
    volume = expectations_of(demand({**CLAIM, "engine": {"masterPort": 30000}}))
    assert (volume.weights, volume.port, volume.writable) == (
        "/models/R1",
        30000,
        ("/cache/v0.33.0-deepseek-ai--deepseek-r1/home",),
    )
    tiny = expectations_of(demand(None, TINY))
    assert (tiny.gpus, tiny.resource, tiny.weights) == (0, None, "/models/tiny")


def test_weights_that_an_init_container_downloads_are_not_checked() -> None:
    volume = {"extraVolumes": [{"name": "own", "emptyDir": {}}]}
    mount = {"extraVolumeMounts": [{"name": "own", "mountPath": "/models/R1"}]}
    assert expectations_of(demand({**CLAIM, **volume, **mount})).weights is None


def test_other_gpus_are_requested_but_not_counted() -> None:
    found: Expectations = expectations_of(demand({"group": {"gpuResource": "amd.com/gpu"}}))
    assert (found.gpus, found.counts_gpus) == (8, False)


def test_rights_are_those_of_the_objects_and_are_shown_as_rules() -> None:
    needed = rights(run_of(demand()))
    assert Right("batch", "jobs", "create") in needed
    assert Right("networking.k8s.io", "networkpolicies", "delete") in needed
    assert rules([needed[0], needed[1], needed[-1]], "models") == (
        "Add to a Role in models: {apiGroups: [batch], resources: [jobs], verbs: [create, delete]}, "
        '{apiGroups: [""], resources: [pods/log], verbs: [get]}.'
    )
    assert needed[-1].attributes("models")["subresource"] == "log"


def test_probe_claims_no_devices_whose_template_comes_with_the_release() -> None:
    pod = pod_of(run_of(demand({"fabric": {"profile": "mnnvl"}})))
    assert "resourceClaims" not in pod
    assert "claims" not in pod["containers"][0]["resources"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 8}


TCPXO = {"fabric": {"profile": "gpudirect-tcpxo", "networks": [f"vpc{number}" for number in range(1, 9)]}}
EFA = {"fabric": {"profile": "efa", "resourceCount": 32}}


@pytest.mark.parametrize("values", [{}, RDMA, EFA, TCPXO], ids=["tcp", "RDMA", "EFA", "TCPXO"])
def test_objects_that_measure_are_valid_and_mount_every_file_of_the_program(values: Mapping[str, Any]) -> None:
    run = measuring_run_of(values)
    assert [error for item in run.objects for error in object_errors(json.loads(json.dumps(item)))] == []
    (files,) = (item["data"] for item in run.objects if item["kind"] == "ConfigMap")
    volume = next(item["configMap"] for item in pod_of(run)["volumes"] if item["name"] == run.name)
    paths = {item["path"]: files[item["key"]] for item in volume["items"]}
    assert set(files) == {item["key"] for item in volume["items"]}
    folder = CHECKOUT / "charts" / "vllm-multinode" / "files" / "bandwidth"
    for file in folder.glob("*.py"):
        assert paths[f"bandwidth/{file.name}"].strip() == file.read_text(encoding="utf-8").strip()
    assert "probe_pod/__main__.py" in paths
    assert ("bandwidth/fabric.sh" in paths) == (values in (EFA, TCPXO)), "only these need the vendor's settings"


@pytest.mark.parametrize(
    ("values", "file", "spec"),
    [
        ({}, R1, {"gpus": 8, "floor": 0.3}),
        (RDMA, R1, {"gpus": 8, "floor": 120}),
        (EFA, R1, {"gpus": 8, "floor": 240}),
        ({}, TINY, {"gpus": 0, "floor": 0.3}),
    ],
    ids=["tcp", "RDMA", "EFA", "CPU"],
)
def test_measurement_has_the_settings_of_the_chart_and_is_done_once(
    values: Mapping[str, Any], file: Any, spec: Mapping[str, Any]
) -> None:
    told = json.loads(environment(measuring_run_of(values, file))["VMN_ACTIVE"])["bandwidth"]
    found = json.loads(told["env"]["MULTINODE_BANDWIDTH"])
    assert found == {"port": 29501, "backoff": 30, "meet": 120, "stays": False, **spec}
    wrapped = values == EFA
    assert told["command"] == (
        ["/bin/bash", "/vmn/bandwidth/fabric.sh"] if wrapped else ["python3", "-B", "/vmn/bandwidth/bandwidth.py"]
    )
    assert told["env"].get("MULTINODE_PROGRAM") == ("/vmn/bandwidth/bandwidth.py" if wrapped else None)
    assert told["env"]["HOME"] == "/tmp"


def test_pods_that_measure_know_their_node_and_keep_the_daemon_of_the_fabric() -> None:
    spec = pod_of(measuring_run_of(TCPXO))
    assert [item["name"] for item in spec["initContainers"]] == ["tcpxo-daemon"]
    mounts = {item["name"] for item in spec["initContainers"][0]["volumeMounts"]}
    assert mounts <= {item["name"] for item in spec["volumes"]}
    node = next(item for item in spec["containers"][0]["env"] if item["name"] == "MULTINODE_NODE")
    assert node["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert "initContainers" not in pod_of(run_of(demand(TCPXO)))
    assert "MULTINODE_NODE" not in environment(run_of(demand(TCPXO)))


def test_nothing_is_measured_when_devices_come_with_the_release() -> None:
    values = {"fabric": {"profile": "mnnvl"}, "group": {"gpusPerNode": 4}, "parallelism": {"tensor": 4}}
    told = json.loads(environment(measuring_run_of(values))["VMN_ACTIVE"])
    assert told["bandwidth"] is None
    release = demand(values)
    expected = expect(release, demand(merged(values, {"fabric": {"bandwidthCheck": {"enabled": True}}})))
    assert expected.no_bandwidth.endswith("set fabric.bandwidthCheck.enabled instead")
