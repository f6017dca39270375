"""The Job of a probe on the cluster: creating it, watching its pods, and removing all of its objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vmn.adapters.cluster import AT_ONCE, PAGE, ask, ask_text, message
from vmn.adapters.programs import MissingError
from vmn.adapters.signals import sigterm_like_interrupt, undisturbed
from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.job import ProbeRun
from vmn.core.preflight.probe.progress import (
    STARTED,
    Patience,
    PodProgress,
    in_words,
    progress_of,
    refusal,
    with_deleted,
)
from vmn.core.preflight.probe.rbac import Right, path_of, rights
from vmn.core.reporting import Say

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PROGRAM = Path(__file__).resolve().parent.parent / "probe_pod"
PERIOD = 1.0
"""Seconds between two looks at the pods."""
REMOVAL_SECONDS = 60
"""Seconds for Kubernetes to end the pods, whose grace period is 5 s, and to collect them."""
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def program() -> dict[str, str]:
    """Return the files that the pods run, by their path below the probe's directory."""
    files = sorted(PROGRAM.glob("*.py"))
    return {f"{PROGRAM.name}/{file.name}": file.read_text(encoding="utf-8") for file in files}


def run_probe(
    client: ApiClient, run: ProbeRun, seconds: float, say: Say, heard: Callable[[str], None] | None = None
) -> Watch | str:
    """Create the objects, wait for the pods, and remove the objects, however it ends.

    Args:
        client: client of the cluster.
        run: the objects to create.
        seconds: how long to wait at most.
        say: takes lines about progress.
        heard: takes the log of the first pod whenever it has grown.

    Returns:
        What was seen of the pods, or why the API server refuses an object.

    Raises:
        MissingError: the API server can't be reached.
        KeyboardInterrupt: the user or SIGTERM ended the probe.
    """
    with sigterm_like_interrupt():
        try:
            return _create(client, run) or Watch(client, run, say, heard=heard).until(seconds)
        finally:
            _remove(client, run, say)


def missing_rights(client: ApiClient, run: ProbeRun) -> list[Right]:
    """Return the rights that a probe needs and the user does not have."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        needed = rights(run)
        allowed = list(pool.map(lambda right: _may(client, right, run.namespace), needed))
    return [right for right, may in zip(needed, allowed, strict=True) if not may]


def _may(client: ApiClient, right: Right, namespace: str) -> bool:
    """Return whether the user has a right; True when the API server does not tell."""
    spec = {"resourceAttributes": right.attributes(namespace)}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = ask(client, "POST", REVIEW, body=body)
    return answer.status >= 300 or bool(answer.content.get("status", {}).get("allowed"))


def _create(client: ApiClient, run: ProbeRun) -> str:
    """Create all objects, owned by the Job; return why the API server refuses one, empty when it accepts all."""
    owner: list[Object] = []
    for item in run.objects:
        metadata = {**item["metadata"], **({"ownerReferences": owner} if owner else {})}
        answer = ask(client, "POST", path_of(item, named=False), body={**item, "metadata": metadata})
        if answer.status >= 300:
            return f"the server refuses the {item['kind']}: {message(answer)}"
        if not owner:
            kind = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
            owner = [{**kind, "name": run.name, "uid": answer.content["metadata"]["uid"]}]
    return ""


@dataclass
class Watch:
    """The pods of a probe, watched until they have ended.

    Attributes:
        client: client of the cluster.
        run: the objects that were created.
        say: takes lines about progress.
        pods: progress of the pods as last seen.
        refused: why there are no pods.
        logs: the longest log seen of each pod, by rank: a failed Job deletes its pods.
        seconds: how long the probe took.
        heard: takes the log of the first pod whenever it has grown.
    """

    client: ApiClient
    run: ProbeRun
    say: Say
    pods: list[PodProgress] = field(default_factory=list)
    refused: str = ""
    logs: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    heard: Callable[[str], None] | None = None

    def until(self, seconds: float) -> Watch:
        """Watch until all pods have ended, or waiting longer is pointless."""
        begun, last = time.monotonic(), ""
        patience = Patience(self.run.nodes, begun + seconds)
        while True:
            self._look()
            words = in_words(self.pods, self.refused)
            self.seconds = time.monotonic() - begun
            if words != last:
                self.say(f"{self.seconds:.0f} s: {words}")
                last = words
            if patience.is_over(self.pods, self.refused, time.monotonic()):
                return self
            time.sleep(PERIOD)

    def _look(self) -> None:
        found = self._list("pods", [("labelSelector", self.run.selector)])
        started = all(item.phase in STARTED for item in progress_of(found, ()))
        events = [] if started and len(found) == self.run.nodes else self._events()
        self.refused = refusal(self.run.name, events) if len(found) < self.run.nodes else ""
        self.pods = with_deleted(self.pods, progress_of(found, events))
        ranks = {item.rank: pod for pod in found for item in progress_of([pod], ())}
        for pod in self.pods:
            if pod.phase in STARTED and pod.rank in ranks:
                self._read_log(pod.rank, ranks[pod.rank]["metadata"]["name"])

    def _read_log(self, rank: int, pod: str) -> None:
        path = f"/api/v1/namespaces/{self.run.namespace}/pods/{pod}/log"
        status, log = ask_text(self.client, path, [("container", self.run.container)])
        known = len(self.logs.get(rank, ""))
        if status == 200 and len(log) >= known:
            self.logs[rank] = log
            if self.heard and rank == 0 and len(log) > known:
                self.heard(log)

    def _events(self) -> list[Object]:
        found = [item for item in self._list("events", []) if item["involvedObject"]["name"].startswith(self.run.name)]
        return sorted(found, key=_last_seen)

    def _list(self, plural: str, query: Sequence[tuple[str, str]]) -> list[Object]:
        path = f"/api/v1/namespaces/{self.run.namespace}/{plural}"
        answer = ask(self.client, "GET", path, [*query, ("limit", str(PAGE))])
        return list(answer.content.get("items") or ()) if answer.status == 200 else []


def _last_seen(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _remove(client: ApiClient, run: ProbeRun, say: Say) -> None:
    """Delete all objects and wait until their pods are gone; say what to do when that fails."""
    with undisturbed():
        say(f"removing Job {run.name} and its objects")
        end = time.monotonic() + REMOVAL_SECONDS
        while True:
            try:
                left = [item["kind"] for item in run.objects if not _is_gone(client, item)] + _pods_left(client, run)
            except MissingError as error:
                left = [str(error)]
            if not left:
                return
            if time.monotonic() > end:
                break
            time.sleep(PERIOD)
    kinds = "job,service,configmap,networkpolicy"
    say(f"some objects remain ({', '.join(left)}): kubectl -n {run.namespace} delete {kinds} -l {run.selector}")


def _is_gone(client: ApiClient, item: Object) -> bool:
    path = path_of(item, named=True)
    return ask(client, "DELETE", path, [("propagationPolicy", "Background")]).status == 404


def _pods_left(client: ApiClient, run: ProbeRun) -> list[str]:
    path = f"/api/v1/namespaces/{run.namespace}/pods"
    answer = ask(client, "GET", path, [("labelSelector", run.selector)])
    return [str(item["metadata"]["name"]) for item in answer.content.get("items") or ()]
