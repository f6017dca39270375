"""Ray's backend over real nodes. vLLM's CPU engine refuses Ray: a group gets as far as that refusal, and no further."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from kit.cluster import background, create, get, kubectl
from kit.paths import CHECKOUT
from kit.progress import say, wait_until
from kit.release import Release

pytestmark = [pytest.mark.engine, pytest.mark.minutes(2)]
PRESET = CHECKOUT / "values" / "tiny-cpu.yaml"
BACKOFF_SECONDS = 15
"""How long the container of a failed start stays, and its log with it."""
VALUES = {"engine": {"backend": "ray"}, "startup": {"backoffSeconds": BACKOFF_SECONDS}}
REFUSAL = "ValueError: current platform cpu does not support ray."
PORT = 6379
# The kubelet keeps how a container ended in the status of the next one; the pod lives but a second longer.
ENDED = (
    '{{range .status.containerStatuses}}{{with .lastState.terminated}}{{.exitCode}} {{printf "%q" .message}}'
    '{{"\\n"}}{{end}}{{end}}'
)


def log(namespace: str, pod: str) -> str:
    """Return a pod's log, nothing when there is none yet."""
    return kubectl("logs", pod, namespace=namespace, check=False).stdout


def pod_of(name: str, command: str) -> dict[str, Any]:
    """Return a pod of the engine's image that runs a command as the chart's pods do, on a node of its own."""
    values = yaml.safe_load(PRESET.read_text())
    address = {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "ray"}}}
    container = {
        "name": "ray",
        "image": f"{values['image']['repository']}:{values['image']['tag']}",
        "command": ["/bin/bash", "-c", command],
        "env": [address, {"name": "HOME", "value": "/tmp"}, {"name": "RAY_raylet_start_wait_time_s", "value": "120"}],
        "volumeMounts": [*values["extraVolumeMounts"], {"name": "shm", "mountPath": "/dev/shm"}],
        "securityContext": {"runAsUser": 2000, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        "containers": [container],
        "volumes": [*values["extraVolumes"], {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "ray"}}, "spec": spec}


def status_of(namespace: str, pod: str) -> dict[str, Any]:
    """Return a pod's status."""
    found = get("pod", pod, namespace)
    assert found
    status: dict[str, Any] = found["status"]
    return status


def end_of(namespace: str, pod: str, limit: float = 90) -> tuple[int, str]:
    """Wait for a pod's end and return its exit status and its log."""
    done = ("Succeeded", "Failed")
    wait_until(f"end of {pod}", lambda: status_of(namespace, pod)["phase"] in done, limit)
    state = status_of(namespace, pod)["containerStatuses"][0]["state"]
    said = log(namespace, pod)
    kubectl("delete", "pod", pod, namespace=namespace)
    return state["terminated"]["exitCode"], said


def last_words(release: Release) -> tuple[int, str]:
    """Wait until the leader's container has ended and return its exit status and termination message."""
    command = ["get", "pod", f"{release.name}-0", f"--namespace={release.namespace}", "--watch"]
    template = f"--output=go-template={ENDED}"
    with background("kubectl", *command, template, ready='^([0-9]+) "(.*)"$', limit=BACKOFF_SECONDS + 30) as match:
        return int(match[1]), match[2]


def test_ray_forms_over_the_nodes_and_vllms_refusal_can_be_read(release: Release) -> None:
    namespace = release.namespace
    release.install(PRESET, values=VALUES)
    wait_until("end of vLLM", lambda: "vllm serve ended" in log(namespace, "vllm-0"), limit=150, state=release.describe)
    first, leader, worker = release.uids(), log(namespace, "vllm-0"), log(namespace, "vllm-0-1")
    formed = re.search(r"2 of 2 nodes: vllm-0, vllm-0-1\n.*the Ray cluster is complete after (\d+) s", leader)
    assert formed, leader
    say(f"Ray over two nodes after {formed[1]} s")
    assert "exec vllm serve /models/tiny --distributed-executor-backend ray" in leader
    assert REFUSAL in leader
    assert "vllm serve ended with exit status 1" in leader
    assert "ray-cluster: joined after" in worker
    assert "vllm serve" not in worker

    code, message = last_words(release)
    assert code == 1
    assert "vllm serve ended with exit status 1" in message
    wait_until("end of both pods", lambda: not first & release.uids(), limit=60, state=release.describe)


def test_ray_that_does_not_form_fails_in_time(namespace: str) -> None:
    create(pod_of("alone", "ray-cluster leader --nodes 2 --timeout 15"), namespace)
    create(pod_of("lost", "ray-cluster worker --address 127.0.0.1:1 --timeout 5"), namespace)
    code, said = end_of(namespace, "lost")
    assert (code, "no Ray cluster to join at 127.0.0.1:1 in 5 s" in said) == (1, True), said
    code, said = end_of(namespace, "alone")
    assert (code, "1 of 2 nodes: alone; missing: the others" in said) == (1, True), said
    assert "the Ray cluster is not complete after" in said


def test_worker_fails_when_its_head_ends(namespace: str) -> None:
    lead = f"ray-cluster leader --nodes 2 --port {PORT} --timeout 200"
    create(pod_of("head", f"{lead} && until [ -e /tmp/end ]; do sleep 0.2; done"), namespace)
    address = wait_until("the head's address", lambda: status_of(namespace, "head").get("podIP"), limit=30)
    create(pod_of("worker", f"ray-cluster worker --address {address}:{PORT} --timeout 200"), namespace)
    # The head knows the worker's node a moment before the worker does.
    wait_until("line of the worker", lambda: "joined after" in log(namespace, "worker"), limit=240)
    kubectl("exec", "head", "--", "touch", "/tmp/end", namespace=namespace)
    code, said = end_of(namespace, "head")
    assert (code, "2 of 2 nodes: head, worker" in said) == (0, True), said
    code, said = end_of(namespace, "worker", limit=60)
    assert (code, f"the head at {address}:{PORT} is gone" in said) == (1, True), said
