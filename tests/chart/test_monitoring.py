"""Objects with which Prometheus and a collector of traces observe a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.poddiscovery import targets
from kit.prometheus import NotUnderstood, scrape
from kit.render import render
from kit.schemas import object_errors

MODEL = {"name": "deepseek-ai/DeepSeek-R1"}


def ports_from(values: Mapping[str, Any], direction: str) -> list[tuple[object, object]]:
    """Return peers and ports of the NetworkPolicy's rules."""
    policy = render({"model": MODEL, **values}).one("NetworkPolicy")
    peers = {"ingress": "from", "egress": "to"}[direction]
    return [(rule.get(peers), rule.get("ports")) for rule in policy["spec"][direction]]


def test_network_policy_admits_scrapers_to_the_api_port_only() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "metrics"}}}]
    watched = {"monitoring": {"podMonitor": {"enabled": True, "clients": clients}}}
    added = [rule for rule in ports_from(watched, "ingress") if rule not in ports_from({}, "ingress")]
    assert added == [(clients, [{"port": 8080}])]


def test_network_policy_admits_no_scraper_when_there_are_no_clients() -> None:
    watched = {"monitoring": {"podMonitor": {"enabled": True, "clients": []}}}
    assert ports_from(watched, "ingress") == ports_from({}, "ingress")


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://otel.observability:4317", 4317),
        ("http://otel.observability:4318/v1/traces", 4318),
        ("http://[fd00::7]:4317", 4317),
        ("http://otel.observability/v1/traces", 80),
        ("https://otel.example", 443),
    ],
)
def test_network_policy_allows_traces_to_the_endpoints_port(endpoint: str, port: int) -> None:
    traced = {"tracing": {"endpoint": endpoint}}
    before = ports_from({}, "egress")
    assert [rule for rule in ports_from(traced, "egress") if rule not in before] == (
        [(None, [{"port": port}])] if port != 443 else []
    )
    assert len(ports_from(traced, "egress")) == len(before) + 1


def test_pod_monitor_selects_the_leaders_pods() -> None:
    manifests = render({"model": MODEL, "monitoring": {"podMonitor": {"enabled": True}}})
    spec = manifests.one("PodMonitor")["spec"]
    assert spec["selector"]["matchLabels"] == manifests.one("Service")["spec"]["selector"]
    ports = manifests.templates()["leader"]["spec"]["containers"][0]["ports"]
    assert [endpoint["port"] for endpoint in spec["podMetricsEndpoints"]] == [port["name"] for port in ports]


def test_pods_do_not_change_when_only_monitoring_is_set() -> None:
    names = ("podMonitor", "rules", "dashboard")
    watched = render({"model": MODEL, "monitoring": {name: {"enabled": True} for name in names}})
    assert watched.templates() == render({"model": MODEL}).templates()
    assert watched.inventory() - render({"model": MODEL}).inventory() == {
        ("PodMonitor", "vllm"),
        ("PrometheusRule", "vllm"),
        ("ConfigMap", "vllm-dashboard"),
    }


def test_unknown_field_of_the_operators_kinds_is_found() -> None:
    monitor = render({"model": MODEL, "monitoring": {"podMonitor": {"enabled": True}}}).one("PodMonitor")
    assert object_errors(monitor) == []
    assert "podMetricsEndpoint" in object_errors({**monitor, "spec": {**monitor["spec"], "podMetricsEndpoint": []}})[0]


def test_scrape_refuses_unknown_fields(tmp_path: Any) -> None:
    monitor = render({"model": MODEL, "monitoring": {"podMonitor": {"enabled": True}}}).one("PodMonitor")
    monitor = {**monitor, "spec": {**monitor["spec"], "sampleLimit": 7}}
    with pytest.raises(NotUnderstood, match="sampleLimit"):
        scrape(monitor, tmp_path / "pods.json")


def test_pod_without_an_address_is_not_a_target() -> None:
    pod: dict[str, Any] = {
        "metadata": {"namespace": "a", "name": "vllm-0", "labels": {"x.example/y": "z"}},
        "spec": {"containers": [{"name": "vllm-leader", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Pending"},
    }
    assert list(targets(pod)) == []
    pod["status"] = {"phase": "Running", "podIP": "10.0.0.7"}
    (target,) = targets(pod)
    assert target["targets"] == ["10.0.0.7:8080"]
    assert target["labels"]["__meta_kubernetes_pod_label_x_example_y"] == "z"
    assert target["labels"]["__meta_kubernetes_pod_container_port_name"] == "http"
