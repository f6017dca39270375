"""A fake release for ``vmn tune``: its groups start or not, and it is as fast as a table says."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner, Result

from cli.test_bench import BenchCluster
from kit.fakecluster import Object
from kit.paths import CHART, CHECKOUT
from kit.render import render
from kit.smallhelm import SmallHelm, small_helm, stored
from unit.preflight_data.cluster import NAMESPACE, node
from unit.test_bench import RESULT
from vmn.adapters import engine_metrics, probe_job, rollout
from vmn.app import tune as app
from vmn.app import tune_run
from vmn.cli import main
from vmn.core.cluster.lws import GROUP, NAME, WORKER

PRESET = CHECKOUT / "values/deepseek-r1.yaml"
FOUND = 3
"""Number of the revision that the release has."""
ASKED = ("--concurrency", "8", "--requests", "16")
FAST, SLOW, STUCK, BROKEN = "max-num-seqs=64", "max-num-seqs=8", "max-num-seqs=16", "max-num-seqs=24"
NOISE = (-1.0, 0.0, 1.0)
"""Tokens per second by which repeats differ."""


class TuneCluster(BenchCluster):
    """A release that has what the last revision says, and measures as fast as a table says.

    Attributes:
        helm: the revisions.
        rates: tokens per second by setting; the key of what runs now is empty.
        on: what to do when a setting is looked at for the first time, by setting.
        others: requests of others that end during each measurement.
    """

    def __init__(self, objects: dict[str, Any], helm: SmallHelm) -> None:
        """Serve a release."""
        super().__init__(objects)
        self.helm = helm
        self.first: Any = objects["leaderworkersets"][0]
        self.pods = objects["pods"]
        self.rates = {"": 100.0, FAST: 120.0, SLOW: 80.0}
        self.on: dict[str, Callable[[], None]] = {}
        self.others = 0

    @property
    def setting(self) -> str:
        """The setting that the release has."""
        revisions = self.helm.state["revisions"]
        args = revisions[-1]["values"].get("engine", {}).get("args", {}) if revisions else {}
        return " ".join(f"{flag}={value}" for flag, value in args.items() if flag == "max-num-seqs")

    def answer(self, address: str) -> tuple[int, str]:
        """Return status and body."""
        parts = urlsplit(address).path.strip("/").split("/")
        if "leases" in parts and parts[-1] != "leases":
            found = self.made.get(("leases", parts[-1]))
            return (200, json.dumps(found)) if found else (404, "{}")
        if parts[-1] in ("leaderworkersets", "pods"):
            self.on.pop(self.setting, lambda: None)()
            self._let_run()
        self.said = [
            f"VMN {json.dumps({'index': index, **content})}"
            for index, noise in enumerate(NOISE)
            for content in ({"begins": True}, self._result(noise))
        ]
        return super().answer(address)

    def _result(self, noise: float) -> dict[str, Any]:
        rate = self.rates.get(self.setting)
        if rate is None:
            return {"error": "the server is gone"}
        counters = {"requests_ended": 16.0 + 8 + 1 + self.others}
        return {"result": {**RESULT, "output_throughput": rate + noise}, "counters": counters}

    def _let_run(self) -> None:
        """Give the LeaderWorkerSet the arguments of the last revision, and pods that run them."""
        lws, (pod, *_) = copy.deepcopy(self.first), copy.deepcopy(self.pods)
        container = lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]
        flag, _, value = self.setting.partition("=")
        container["args"] += [f"--{flag}", value] if flag else []
        pod["spec"] = {**lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"], "nodeName": "node-0"}
        ready = "False" if self.setting in (STUCK, BROKEN) else "True"
        pod["status"]["conditions"][0]["status"] = ready
        if self.setting == BROKEN:
            ended = {"name": "vllm-leader", "restartCount": 1, "lastState": {"terminated": {"exitCode": 1}}}
            pod["status"]["containerStatuses"] = [{**ended, "state": {"running": {}}}]
        worker = copy.deepcopy(pod)
        worker["metadata"] = {"name": "vllm-0-1", "labels": {NAME: "vllm", GROUP: "0", WORKER: "1"}}
        worker["spec"] = lws["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]
        worker["status"].pop("containerStatuses", None)
        self.objects = {**self.objects, "leaderworkersets": [lws], "pods": [pod, worker]}

    def change(self, method: str, address: str, body: Object) -> tuple[int, str]:
        """Make, replace, or remove an object; one that is there is not made again."""
        parts = urlsplit(address).path.strip("/").split("/")
        name = parts[-1] if method != "POST" else str(body["metadata"]["name"]) if "metadata" in body else ""
        if "leases" in parts and method == "POST" and ("leases", name) in self.made:
            return 409, json.dumps({"message": "already exists"})
        return super().change(method, address, body)


@contextmanager
def tuned_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TuneCluster]:
    """Serve a release of DeepSeek-R1 on two nodes, with its kubeconfig in KUBECONFIG and Helm on PATH."""
    rendered = render(None, PRESET, namespace=NAMESPACE).as_installed(NAMESPACE)
    values = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    helm = small_helm(tmp_path / "bin", {"engine": {}, **values}, FOUND)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    lws = dict(rendered.one("LeaderWorkerSet"))
    lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["terminationGracePeriodSeconds"] = 0
    leader: dict[str, Any] = {
        "metadata": {"name": "vllm-0", "labels": {NAME: "vllm", GROUP: "0", WORKER: "0"}},
        "status": {"podIP": "10.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    now = datetime.now(UTC)
    leader["metadata"]["creationTimestamp"] = (now - timedelta(seconds=300)).strftime("%Y-%m-%dT%H:%M:%SZ")
    leader["status"]["conditions"][0]["lastTransitionTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    objects = {
        "leaderworkersets": [lws],
        "services": rendered.all("Service"),
        "pods": [leader],
        "nodes": [node("node-0")],
        "secrets": [stored(CHART, "vllm", NAMESPACE, FOUND)],
    }
    waits = ((probe_job, "PERIOD"), (rollout, "PERIOD"), (app, "LOOK_SECONDS"), (app, "AGAIN_SECONDS"))
    for module, name in (*waits, (tune_run, "RETRY_SECONDS")):
        monkeypatch.setattr(module, name, 0.02)
    monkeypatch.setattr(tune_run, "SETTLED_SECONDS", 0.05)
    monkeypatch.setattr(tune_run, "ATTEMPTS", 2)
    monkeypatch.setattr(engine_metrics, "PULSE_SECONDS", 0.0)
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))
    own = TuneCluster(objects, helm)
    own.texts = {"vllm-0:8080/metrics": metrics()}
    with own.serving(file, NAMESPACE):
        yield own


def metrics(running: int = 0, waiting: int = 0, ended: int = 500, of_the_chart: int = 400) -> str:
    """Return what an API server counts; requests of the chart itself have one prompt token."""
    numbers = {"num_requests_running": running, "num_requests_waiting": waiting, "request_success_total": ended}
    lines = [f'vllm:{name}{{engine="0"}} {value}.0' for name, value in numbers.items()]
    buckets = ((1, of_the_chart), (2, ended))
    lines += [f'vllm:request_prompt_tokens_bucket{{engine="0",le="{size}.0"}} {count}.0' for size, count in buckets]
    return "\n".join([*lines, ""])


def tune(*settings: str, more: tuple[str | Path, ...] = ()) -> Result:
    """Run ``vmn tune`` with the settings to try, and more options."""
    words = [word for setting in settings for word in ("--try", setting)]
    return CliRunner().invoke(main, ["tune", *ASKED, *words, *map(str, more)])


def is_as_found(fake: TuneCluster) -> bool:
    """Return whether nothing is left, and the last revision has the values of the one that was found."""
    revisions = fake.helm.state["revisions"]
    return not fake.made and bool(revisions[-1]["values"] == revisions[0]["values"])
