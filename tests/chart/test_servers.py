"""Clients, probes, and Prometheus reach vLLM's servers: the leader's, one of each pod, or one of each replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.flows import Flow, Peer, allowed, pod
from kit.render import Manifests, render

MODEL: dict[str, Any] = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
OBJECTS: dict[str, Any] = {
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}},
    "routing": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
    "autoscaling": {"type": "keda", "prometheus": {"url": "http://prometheus:9090"}},
}
LEADER = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
SUPERVISED = {"data": 16, "expert": True, "dataLoadBalancer": "external"}
MODES: Mapping[str, tuple[dict[str, Any], bool, int, str]] = {
    # values of parallelism, whether every pod serves, ports of a pod, port for probes
    "internal": ({"data": 16, "expert": True}, False, 1, "http"),
    "hybrid": ({"data": 16, "expert": True, "dataLoadBalancer": "hybrid"}, True, 1, "http"),
    "external": (SUPERVISED, True, 8, "health"),
    "external, a replica per node": ({"data": 2, "expert": True, "dataLoadBalancer": "external"}, True, 1, "http"),
}
every_mode = pytest.mark.parametrize("mode", MODES)


def manifests(mode: str, **values: Any) -> Manifests:
    """Render a mode with all objects that depend on it."""
    return render({**MODEL, **OBJECTS, "parallelism": MODES[mode][0], **values})


def containers(rendered: Manifests) -> dict[str, dict[str, Any]]:
    """Return the main container of each role."""
    return {role: template["spec"]["containers"][0] for role, template in rendered.templates().items()}


def flags(rendered: Manifests) -> list[str]:
    """Return the flags for the load balancer."""
    words = containers(rendered)["leader"]["args"]
    return [word for word in words if word.startswith("--data-parallel-") and ("lb" in word or "supervisor" in word)]


@every_mode
def test_pods_that_serve_have_ports_and_are_asked_for_their_health(mode: str) -> None:
    _, every_pod, count, health = MODES[mode]
    names = ["http", *(f"http-{index}" for index in range(1, count))]
    wanted = {**{name: 8080 + index for index, name in enumerate(names)}, **({"health": 9256} if count > 1 else {})}
    for role, container in containers(manifests(mode)).items():
        serves = every_pod or role == "leader"
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        assert ports == (wanted if serves else {}), role
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe].get("httpGet")
            assert asked == ({"path": "/health", "port": health} if serves else None), role


@every_mode
def test_service_monitor_and_pool_select_the_pods_that_serve_by_all_of_their_ports(mode: str) -> None:
    _, every_pod, count, _ = MODES[mode]
    pool = {"inferencePool": {"endpointPicker": "vllm-epp"}}
    rendered = manifests(mode, routing=pool, service={"port": 80})
    labels = {"leaderworkerset.sigs.k8s.io/name": "vllm", **({} if every_pod else LEADER)}
    numbers = [8080 + index for index in range(count)]
    service = rendered.one("Service")["spec"]
    assert service["selector"] == labels
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(n - 8000, n) for n in numbers]
    monitor = rendered.one("PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"] == labels
    assert [entry["port"] for entry in monitor["podMetricsEndpoints"]] == [port["name"] for port in service["ports"]]
    chosen = rendered.one("InferencePool")["spec"]
    assert chosen["selector"]["matchLabels"] == labels
    assert chosen["targetPorts"] == [{"number": number} for number in numbers]


@every_mode
def test_route_without_a_pool_spreads_requests_over_all_ports_of_the_service(mode: str) -> None:
    (rule,) = manifests(mode).one("HTTPRoute")["spec"]["rules"]
    count = MODES[mode][2]
    assert rule["backendRefs"] == [{"name": "vllm-leader", "port": 8080 + index} for index in range(count)]


@every_mode
def test_helm_test_asks_each_port(mode: str) -> None:
    count = MODES[mode][2]
    job = manifests(mode).one("Job", "vllm-test")["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in job["env"]}
    assert env["SERVICE_PORT"] == "8080"
    asked = env.get("SERVICE_PORTS")
    assert (asked.split() if asked else ["8080"]) == [str(8080 + index) for index in range(count)]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("internal", []),
        ("hybrid", ["--data-parallel-hybrid-lb"]),
        ("external", ["--data-parallel-multi-port-external-lb", "--data-parallel-supervisor-port"]),
        ("external, a replica per node", ["--data-parallel-external-lb"]),
    ],
)
def test_vllm_gets_the_load_balancer_s_flag(mode: str, wanted: list[str]) -> None:
    assert flags(manifests(mode)) == wanted


@pytest.mark.parametrize(
    ("liveness", "times"),
    [({}, "8"), ({"periodSeconds": 30, "timeoutSeconds": 15}, "18"), ({"failureThreshold": 1}, "1")],
)
def test_supervisor_waits_for_a_busy_server_as_long_as_the_liveness_probe(liveness: dict[str, int], times: str) -> None:
    words = containers(manifests("external", probes={"liveness": liveness}))["leader"]["args"]
    assert words[words.index("--dp-supervisor-probe-failure-threshold") + 1] == times
    assert words[words.index("--dp-supervisor-probe-timeout-s") + 1] == str(liveness.get("timeoutSeconds", 10))
    own = {"dp-supervisor-probe-failure-threshold": 3}
    words = containers(manifests("external", engine={"args": own}))["leader"]["args"]
    assert words[words.index("--dp-supervisor-probe-failure-threshold") + 1] == "3"


@pytest.mark.parametrize("mode", ["internal", "hybrid"])
def test_alerts_and_the_autoscaler_count_groups_and_not_servers(mode: str) -> None:
    rendered = manifests(mode)
    recorded, alerts = rendered.one("PrometheusRule")["spec"]["groups"]
    serving = next(rule["expr"] for rule in recorded["rules"] if rule["record"].endswith("groups_serving:count"))
    loading = next(rule["expr"] for rule in alerts["rules"] if rule["alert"] == "VllmLoadingTooLong")
    query = rendered.one("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    every_pod = MODES[mode][1]
    assert ("min by (namespace, job, group) (up" in serving) == every_pod
    assert loading.startswith("min" if every_pod else "max")
    assert ('pod=~"vllm-[0-9]+(-[0-9]+)?"' in query) == every_pod


Row = tuple[str, str, int, bool]
ROWS: Mapping[str, list[Row]] = {
    "internal": [("pod", "leader", 8080, True), ("pod", "leader", 8081, False)],
    "external": [
        *[("pod", role, port, True) for role in ("leader", "worker") for port in (8080, 8087)],
        *[("pod", "worker", port, False) for port in (8079, 8088, 9256, 29501)],
        *[("scraper", "worker", 8087, True), ("scraper", "worker", 9256, False)],
        *[("leader", "worker", 9256, True), ("worker", "leader", 29501, True)],
    ],
}


@pytest.mark.parametrize("mode", ROWS)
def test_network_policy_admits_clients_to_the_servers_ports_only(mode: str) -> None:
    rendered = manifests(mode)
    scraper = Peer({"app": "prometheus"}, "monitoring")
    peers = {
        "pod": Peer({"app": "client"}),
        "scraper": scraper,
        **{role: pod(rendered, role) for role in ("leader", "worker")},
    }
    flows = [Flow(peers[source], peers[target], port) for source, target, port, _ in ROWS[mode]]
    assert allowed(rendered.all("NetworkPolicy"), flows) == [verdict for *_, verdict in ROWS[mode]]
