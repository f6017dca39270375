"""The whole way on this machine: a cluster, the chart, vLLM over two nodes, an answer."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcluster import cluster
from localcluster.host import HostError, run, say, step
from localcluster.kubectl import REQUEST_TIMEOUT_S, items, kubeconfig, kubectl, kubectl_environment
from localcluster.processes import wait_until
from localcluster.programs import program

CHECKOUT = Path(__file__).resolve().parent.parent.parent
RELEASE = "vllm"
CHART = "charts/vllm-multinode"
VALUES = "values/tiny-cpu.yaml"
REQUEST = {"model": "tiny", "prompt": "San Francisco is a", "max_tokens": 7, "temperature": 0}
"""The reference guide's request, for the tiny model."""
GROUP = f"leaderworkerset.sigs.k8s.io/name={RELEASE}"

_START_TIMEOUT_S = 600
"""Bound on the group's start, which takes about a minute on two cores."""
_ANSWER_TIMEOUT_S = 120

_QUIET_S = 10
"""After so long without a change the leader's log is quoted."""

_GO_ON = f"""
The group goes on serving. To go on yourself:
  eval "$(make -s env)"                                  helm, kubectl and vmn on PATH, and KUBECONFIG
  kubectl get pods -o wide                               a leader and a worker, on two nodes
  kubectl logs {RELEASE}-0 -c vllm-leader                      vLLM's log
  kubectl port-forward svc/{RELEASE}-leader 8080:8080 &        then, as often as you like:
  curl http://localhost:8080/v1/completions -H 'Content-Type: application/json' -d '{json.dumps(REQUEST)}'
  helm test {RELEASE}; helm uninstall {RELEASE}
  make cluster-down                                      leaves nothing behind but the caches"""


def demo() -> None:
    """Bring the cluster up, install the chart with the tiny model, ask it and print the answer.

    Raises:
        HostError: a step failed or took too long; the message has the pods' state, events and logs.
    """
    cluster.up(cluster.Options())
    with step("helm"):
        _install()
    with step("vLLM over two nodes"):
        _wait_for_group()
    with step("the reference guide's request"):
        answer = _ask()
    nodes = ", ".join(f"{pod['metadata']['name']} on {pod['spec']['nodeName']}" for pod in _pods())
    text, usage = answer["choices"][0]["text"], answer["usage"]
    print(f"\n{nodes}")
    print(f"prompt:  {REQUEST['prompt']}")
    print(f"answer:  {text!r}")
    print(f"usage:   {usage['prompt_tokens']} + {usage['completion_tokens']} = {usage['total_tokens']} tokens")
    print(_GO_ON)


def _install() -> None:
    command = ["helm", "upgrade", "--install", RELEASE, CHART, "-f", VALUES]
    say(f"    {shlex.join(command)}")
    env = {"KUBECONFIG": str(kubeconfig()), **kubectl_environment()}
    run([program("helm"), *command[1:]], cwd=CHECKOUT, env=env, timeout=120)


def _pods() -> list[dict[str, Any]]:
    return items("pods", "--selector", GROUP)


def _wait_for_group() -> None:
    start = last = time.monotonic()
    told = ""

    def ready() -> bool:
        nonlocal told, last
        now = "; ".join(_state(pod) for pod in _pods()) or "no pods yet"
        if now != told or time.monotonic() - last > _QUIET_S:
            say(f"    {time.monotonic() - start:4.0f} s  {now}{_last_words() if now == told else ''}")
            told, last = now, time.monotonic()
        (group,) = items("leaderworkersets", "--field-selector", f"metadata.name={RELEASE}")
        status = group.get("status", {})
        return status.get("observedGeneration") == group["metadata"]["generation"] and any(
            entry["type"] == "Available" and entry["status"] == "True" for entry in status["conditions"]
        )

    try:
        wait_until("serving group", ready, timeout=_START_TIMEOUT_S)
    except HostError as error:
        raise HostError(f"{error}\n{_evidence()}") from error


def _last_words() -> str:
    """Return the last line of the leader's log, cut to what fits a terminal."""
    line = kubectl("logs", f"{RELEASE}-0", "--tail=1").strip()
    return f": {line[:100]}"


def _state(pod: dict[str, Any]) -> str:
    """Return a pod's state in words."""
    name, status = pod["metadata"]["name"], pod["status"]
    containers = status.get("containerStatuses", [])
    if any(one["ready"] for one in containers):
        return f"{name} ready"
    waits = [one["state"]["waiting"]["reason"] for one in containers if "waiting" in one["state"]]
    return f"{name} {', '.join(waits) or status['phase']}"


def _evidence() -> str:
    """Return what there is to read about a group that did not start."""
    parts = [["get", "pods", "-o", "wide"], ["get", "events", "--sort-by=.lastTimestamp"]]
    parts += [["logs", "--tail=40", pod["metadata"]["name"]] for pod in _pods()]
    texts = []
    for part in parts:
        try:
            texts.append(f"$ kubectl {' '.join(part)}\n{kubectl(*part)[-4000:]}")
        except HostError as error:
            texts.append(str(error))
    return "\n".join(texts)


def _ask() -> dict[str, Any]:
    with _forwarded() as address:
        request = urllib.request.Request(
            f"{address}/v1/completions", json.dumps(REQUEST).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
        except OSError as error:
            raise HostError(f"no answer from {address}: {error}\n{_evidence()}") from error
    return answer


@contextmanager
def _forwarded() -> Iterator[str]:
    """Run ``kubectl port-forward`` to the Service on any free port, and give the address."""
    access = ["--kubeconfig", kubeconfig(), "port-forward", f"--pod-running-timeout={REQUEST_TIMEOUT_S}s"]
    command = [program("kubectl"), *access, f"svc/{RELEASE}-leader", ":8080"]
    say(f"    kubectl port-forward svc/{RELEASE}-leader 8080:8080")
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line.startswith("Forwarding from "):
            raise HostError(f"kubectl port-forward did not start within {REQUEST_TIMEOUT_S} s: {line}")
        yield f"http://{line.split()[2]}"
    finally:
        process.terminate()
        process.wait(10)
