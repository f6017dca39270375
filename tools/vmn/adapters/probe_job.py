"""Running the pods of ``vmn preflight --active``, and removing whatever comes of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vmn.adapters.cluster import AT_ONCE, PAGE, ask, ask_text, message
from vmn.adapters.programs import MissingError
from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.job import ProbeRun
from vmn.core.preflight.probe.judge import ProbeReport, facts_of, findings
from vmn.core.preflight.probe.progress import Patience, Phase, PodProgress, in_words, refusals, states, together
from vmn.core.preflight.probe.rbac import Right, path_of, rights, rules
from vmn.core.preflight.result import CheckResult, failed, warned

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PROGRAM = Path(__file__).resolve().parent.parent / "probe_pod"
PERIOD = 1.0
"""Seconds between two looks."""
REMOVAL_SECONDS = 60
"""For Kubernetes to end the pods, whose grace is 5 s, and to collect them."""
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Say = Callable[[str], None]


def program() -> dict[str, str]:
    """Return the files that the pods run."""
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(PROGRAM.glob("*.py"))}


def check(client: ApiClient, run: ProbeRun, asked: Expectations, seconds: float, say: Say) -> list[CheckResult]:
    """Make the objects, wait, judge, and remove the objects, however it ends.

    Args:
        client: of the cluster.
        run: what to make.
        asked: what the release's pods count on.
        seconds: to wait at most.
        say: gets a line when something moves.

    Raises:
        MissingError: the server can't be reached.
        KeyboardInterrupt: the user, or SIGTERM, ended it.
    """
    lacking = _lacking(client, run)
    if lacking:
        fix = rules(lacking, run.namespace)
        return [warned("active", "not run: this user may not make, watch and remove its pods", fix)]
    with _sigterm_like_interrupt():
        try:
            refused = _make(client, run)
            if refused:
                return [failed("active", refused, "Change what the message names; nothing was left behind.")]
            seen = _Watch(client, run, say).until(seconds)
        finally:
            _remove(client, run, say)
    reports = [ProbeReport(state, facts_of(seen.logs.get(state.rank, ""))) for state in seen.states]
    return list(findings(asked, reports, seen.refused, seen.seconds))


def _lacking(client: ApiClient, run: ProbeRun) -> list[Right]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        needed = rights(run)
        allowed = list(pool.map(lambda right: _may(client, right, run.namespace), needed))
    return [right for right, may in zip(needed, allowed, strict=True) if not may]


def _may(client: ApiClient, right: Right, namespace: str) -> bool:
    """Return whether the user has a right; a server that does not say is tried."""
    spec = {"resourceAttributes": right.attributes(namespace)}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = ask(client, "POST", REVIEW, body=body)
    return answer.status >= 300 or bool(answer.content.get("status", {}).get("allowed"))


def _make(client: ApiClient, run: ProbeRun) -> str:
    """Make all objects, the others owned by the Job; return what the server refuses, nothing when it does not."""
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
class _Watch:
    """The pods of a run while they go on.

    Attributes:
        client: of the cluster.
        run: what was made.
        say: gets a line when something moves.
        states: of the pods when they were last seen.
        refused: why there are no pods.
        logs: by rank, the longest that was seen: a failed Job takes its pods with it.
        seconds: that it took.
    """

    client: ApiClient
    run: ProbeRun
    say: Say
    states: list[PodProgress] = field(default_factory=list)
    refused: str = ""
    logs: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def until(self, seconds: float) -> _Watch:
        """Look until all pods have ended, or nothing more is to be expected."""
        begun, told = time.monotonic(), ""
        patience = Patience(self.run.nodes, begun + seconds)
        while True:
            self._look()
            words = in_words(self.states, self.refused)
            self.seconds = time.monotonic() - begun
            if words != told:
                self.say(f"{self.seconds:.0f} s: {words}")
                told = words
            if patience.is_over(self.states, self.refused, time.monotonic()):
                return self
            time.sleep(PERIOD)

    def _look(self) -> None:
        pods = self._list("pods", [("labelSelector", self.run.selector)])
        started = all(item.phase in (Phase.RUNS, Phase.ENDED) for item in states(pods, ()))
        events = [] if started and len(pods) == self.run.nodes else self._events()
        self.refused = refusals(self.run.name, events) if len(pods) < self.run.nodes else ""
        self.states = together(self.states, states(pods, events))
        ranks = {item.rank: pod for pod in pods for item in states([pod], ())}
        for state in self.states:
            if state.phase in (Phase.RUNS, Phase.ENDED) and state.rank in ranks:
                self._read_log(state.rank, ranks[state.rank]["metadata"]["name"])

    def _read_log(self, rank: int, pod: str) -> None:
        path = f"/api/v1/namespaces/{self.run.namespace}/pods/{pod}/log"
        status, log = ask_text(self.client, path, [("container", "preflight")])
        if status == 200 and len(log) >= len(self.logs.get(rank, "")):
            self.logs[rank] = log

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
    """Delete every object until none is left, and wait for the pods; say what to do when that fails."""
    with _undisturbed():
        say(f"removing Job {run.name} and what belongs to it")
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
    say(f"not all is removed ({', '.join(left)}): kubectl -n {run.namespace} delete {kinds} -l {run.selector}")


def _is_gone(client: ApiClient, item: Object) -> bool:
    path = path_of(item, named=True)
    return ask(client, "DELETE", path, [("propagationPolicy", "Background")]).status == 404


def _pods_left(client: ApiClient, run: ProbeRun) -> list[str]:
    path = f"/api/v1/namespaces/{run.namespace}/pods"
    answer = ask(client, "GET", path, [("labelSelector", run.selector)])
    return [str(item["metadata"]["name"]) for item in answer.content.get("items") or ()]


@contextmanager
def _handling(handlers: dict[signal.Signals, Callable[..., object] | signal.Handlers]) -> Iterator[None]:
    """Have other signal handlers for a while; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sigterm_like_interrupt() -> AbstractContextManager[None]:
    return _handling({signal.SIGTERM: signal.default_int_handler})


def _undisturbed() -> AbstractContextManager[None]:
    return _handling({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN})
