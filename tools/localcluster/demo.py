"""The whole way: a cluster, the chart, vLLM over two nodes, an answer."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localcluster import cluster, progress
from localcluster.host import CHECKOUT, HostError, env_hint, make_hint, run, say, step
from localcluster.kubectl import REQUEST_TIMEOUT_S, kubeconfig, kubectl_environment
from localcluster.processes import wait_until
from localcluster.programs import program, version_of

RELEASE = "vllm"
CHART = "charts/vllm-multinode"
TINY = "values/tiny-cpu.yaml"
"""The preset for the local cluster, and for each other whose nodes have what the local ones have."""
PROMPT = {"prompt": "San Francisco is a", "max_tokens": 7, "temperature": 0}
"""The reference guide's request, without its model."""
GROUP = f"leaderworkerset.sigs.k8s.io/name={RELEASE}"
CRD = "leaderworkersets.leaderworkerset.x-k8s.io"
LWS_MANIFESTS = f"https://github.com/kubernetes-sigs/lws/releases/download/{version_of('lws')}/manifests.yaml"
LOCAL_NAMESPACE = "default"
OTHER_NAMESPACE = "vllm-demo"
"""On a cluster that is used for more, the demo touches nothing but a namespace of its own."""

_START_TIMEOUT_S = {True: 600, False: 3600}
"""Bound on the group's start, which takes half a minute on two cores; on another cluster it may load an image first."""
_ANSWER_TIMEOUT_S = 120

_QUIET_S = 10
"""After so long without a change the leader's log is quoted."""

_INSTALL = "helm upgrade --install"
_START = "vLLM over two nodes"
_ASK = "the reference guide's request"
_EXPECTED = {_INSTALL: 1, _START: 27, _ASK: 1}
"""Steps -> seconds that they take on two cores."""

GPUS = "tools/localcluster/demo-gpus.yaml"
"""Values for two nodes with a GPU each."""


def _go_on() -> str:
    body = json.dumps({"model": "tiny", **PROMPT})
    hints = [
        (env_hint(), "helm, kubectl and vmn on PATH, and KUBECONFIG"),
        ("kubectl get pods -o wide", "a leader and a worker, on two nodes"),
        (f"kubectl logs {RELEASE}-0 -c vllm-leader", "vLLM's log"),
        (f"kubectl port-forward svc/{RELEASE}-leader 8080:8080 &", "then, as often as you like:"),
        (f"curl http://localhost:8080/v1/completions -H 'Content-Type: application/json' -d '{body}'", ""),
        (f"helm test {RELEASE}; helm uninstall {RELEASE}", ""),
        (make_hint("cluster-down"), "leaves nothing behind but the caches"),
    ]
    lines = [f"  {command:<55}{words}".rstrip() for command, words in hints]
    return "\n".join(["", "The group goes on serving. To go on yourself:", *lines])


def _go_on_elsewhere() -> str:
    return f"""
The group goes on serving in namespace {OTHER_NAMESPACE}. To remove it:
  helm uninstall {RELEASE} --namespace {OTHER_NAMESPACE}
  kubectl delete namespace {OTHER_NAMESPACE}"""


@dataclass(frozen=True)
class Place:
    """Where the demo runs.

    Attributes:
        kubeconfig: file that gives access to the cluster.
        namespace: of the release.
        values: values file, from the checkout's directory.
        local: whether it is this project's local cluster.
    """

    kubeconfig: Path
    namespace: str
    values: str
    local: bool

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace and return what it prints.

        Raises:
            HostError: it fails.
        """
        return run([*self._command("kubectl"), f"--request-timeout={REQUEST_TIMEOUT_S}s", *arguments], env=self.env)

    def helm(self, *arguments: str, timeout: float = 120) -> None:
        """Run Helm in the namespace.

        Raises:
            HostError: it fails.
        """
        run([*self._command("helm"), *arguments], cwd=CHECKOUT, env=self.env, timeout=timeout)

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that ``kubectl get`` lists.

        Raises:
            HostError: it fails.
        """
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "-o", "json", *arguments))["items"]
        return found

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of the group.

        Raises:
            HostError: kubectl fails.
        """
        return self.items("pods", "--selector", GROUP)

    @property
    def env(self) -> dict[str, str]:
        """Return the variables for kubectl and Helm."""
        return kubectl_environment() if self.local else {}

    def forward(self) -> list[str]:
        """Return the command that forwards a free port to the leader's Service."""
        access = ["port-forward", f"--pod-running-timeout={REQUEST_TIMEOUT_S}s", f"svc/{RELEASE}-leader", ":8080"]
        return [*self._command("kubectl"), *access]

    def _command(self, name: str) -> list[str]:
        own = None if self.local else shutil.which(name)
        return [own or str(program(name)), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace]


def demo() -> None:
    """Bring the local cluster up, install the chart with the tiny model, ask it and print the answer.

    Raises:
        HostError: a step failed or took too long; the message has the pods' state, events and logs.
    """
    options = cluster.Options()
    with progress.board({**cluster.expected(options), **_EXPECTED}):
        cluster.up(options)
        told = _serve_and_ask(Place(kubeconfig(), LOCAL_NAMESPACE, TINY, local=True))
    print(f"{told}\n{_go_on()}")


def demo_on(config: Path, values: str | None) -> None:
    """Install the chart on a cluster that is there, in a namespace of its own, ask it and print the answer.

    Args:
        config: its kubeconfig.
        values: a values file for its nodes, from the checkout's directory; by default by whether two nodes have GPUs.

    Raises:
        HostError: the cluster has no LeaderWorkerSet, or as for ``demo``.
    """
    place = Place(config.expanduser(), OTHER_NAMESPACE, values or TINY, local=False)
    if not place.kubeconfig.is_file():
        raise HostError(f"KUBECONFIG={config}: no such file")
    if not (CHECKOUT / place.values).is_file():
        raise HostError(f"VALUES={values}: no such file in {CHECKOUT}")
    if not values and _gpu_nodes(place) >= 2:
        place = replace(place, values=GPUS)
    if not place.kubectl("get", "customresourcedefinition", CRD, "--ignore-not-found").strip():
        raise HostError(
            "the cluster has no LeaderWorkerSet. Install it, then try again: "
            f"kubectl apply --server-side -f {LWS_MANIFESTS}"
        )
    with progress.board(_EXPECTED):
        told = _serve_and_ask(place)
    print(f"{told}\n{_go_on_elsewhere()}")


def _gpu_nodes(place: Place) -> int:
    """Return how many nodes have a GPU that runs containers; simulated nodes don't."""
    nodes = place.items("nodes", "--selector", "type!=kwok")
    return sum(node["status"].get("allocatable", {}).get("nvidia.com/gpu", "0") != "0" for node in nodes)


def _serve_and_ask(place: Place) -> str:
    """Return the nodes and the answer, in words."""
    with step(_INSTALL):
        _install(place)
    with step(_START):
        _wait_for_group(place)
    with step(_ASK):
        answer = _ask(place)
    nodes = ", ".join(f"{pod['metadata']['name']} on {pod['spec']['nodeName']}" for pod in place.pods())
    text, usage = answer["choices"][0]["text"], answer["usage"]
    counted = f"{usage['prompt_tokens']} + {usage['completion_tokens']} = {usage['total_tokens']} tokens"
    return f"\n{nodes}\nprompt:  {PROMPT['prompt']}\nanswer:  {text!r}\nusage:   {counted}"


def _install(place: Place) -> None:
    arguments = ["upgrade", "--install", RELEASE, CHART, "-f", place.values]
    if not place.local:
        arguments += ["--create-namespace"]
    say(f"    {shlex.join(['helm', *arguments])}")
    place.helm(*arguments)


def _wait_for_group(place: Place) -> None:
    start = last = time.monotonic()
    told = ""

    def ready() -> bool:
        nonlocal told, last
        now = "; ".join(_state(pod) for pod in place.pods()) or "no pods yet"
        if now != told or time.monotonic() - last > _QUIET_S:
            words = _last_words(place) if now == told else ""
            say(f"    {time.monotonic() - start:4.0f} s  {now}{words}")
            told, last = now, time.monotonic()
        (group,) = place.items("leaderworkersets", "--field-selector", f"metadata.name={RELEASE}")
        status = group.get("status", {})
        return status.get("observedGeneration") == group["metadata"]["generation"] and any(
            entry["type"] == "Available" and entry["status"] == "True" for entry in status["conditions"]
        )

    try:
        wait_until("serving group", ready, timeout=_START_TIMEOUT_S[place.local])
    except HostError as error:
        raise HostError(f"{error}\n{_evidence(place)}") from error


def _last_words(place: Place) -> str:
    """Return the last line of the leader's log, cut to what fits a terminal."""
    line = place.kubectl("logs", f"{RELEASE}-0", "--tail=1").strip()
    return f": {line[:100]}"


def _state(pod: dict[str, Any]) -> str:
    """Return a pod's state in words."""
    name, status = pod["metadata"]["name"], pod["status"]
    containers = status.get("containerStatuses", [])
    if any(one["ready"] for one in containers):
        return f"{name} ready"
    waits = [one["state"]["waiting"]["reason"] for one in containers if "waiting" in one["state"]]
    return f"{name} {', '.join(waits) or status['phase']}"


def _evidence(place: Place) -> str:
    """Return what there is to read about a group that did not start."""
    parts: list[Sequence[str]] = [["get", "pods", "-o", "wide"], ["get", "events", "--sort-by=.lastTimestamp"]]
    parts += [["logs", "--tail=40", pod["metadata"]["name"]] for pod in place.pods()]
    texts = []
    for part in parts:
        try:
            texts.append(f"$ kubectl {' '.join(part)}\n{place.kubectl(*part)[-4000:]}")
        except HostError as error:
            texts.append(str(error))
    return "\n".join(texts)


def _ask(place: Place) -> dict[str, Any]:
    with _forwarded(place) as address:
        try:
            model = _json(f"{address}/v1/models")["data"][0]["id"]
            return _json(f"{address}/v1/completions", {"model": model, **PROMPT})
        except OSError as error:
            raise HostError(f"no answer from {address}: {error}\n{_evidence(place)}") from error


def _json(address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


@contextmanager
def _forwarded(place: Place) -> Iterator[str]:
    """Run ``kubectl port-forward`` to the Service on any free port, and give the address."""
    say(f"    kubectl port-forward svc/{RELEASE}-leader 8080:8080")
    process = subprocess.Popen(place.forward(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line.startswith("Forwarding from "):
            raise HostError(f"kubectl port-forward did not start within {REQUEST_TIMEOUT_S} s: {line}")
        yield f"http://{line.split()[2]}"
    finally:
        process.terminate()
        process.wait(10)
