"""What the answers of a probe's pods mean for the release: one result per check, for all pods of the group together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmn.core.preflight.probe import bandwidth, network_checks, node_checks
from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Answer, ProbeProblem
from vmn.core.preflight.probe.progress import Phase, PodProgress
from vmn.core.preflight.result import CheckResult, CheckStatus, failed, passed, skipped

MARK = "vmn-active "
"""Beginning of each line of a pod's log that has an answer."""
Judge = Callable[[Answer, Expectations], Iterator[ProbeProblem]]
Summary = Callable[[Sequence[Answer], Expectations], str]


@dataclass(frozen=True)
class ProbeReport:
    """A pod, and its answers by check."""

    pod: PodProgress
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class ProbeCheck:
    """One check.

    Attributes:
        name: name of the answer, and of the result with ``active-`` before it.
        problems: returns what one pod's answer shows to be wrong.
        summary: returns what to say when nothing is wrong.
        not_needed: returns why the release does not need the check, None when it does.
    """

    name: str
    problems: Judge
    summary: Summary
    not_needed: Callable[[Expectations], str | None]


def _always(expected: Expectations) -> None:
    return None


CHECKS = (
    ProbeCheck("dns", network_checks.dns, network_checks.dns_summary, network_checks.one_node),
    ProbeCheck("port", network_checks.port, network_checks.port_summary, network_checks.one_node),
    ProbeCheck("interface", network_checks.interface, network_checks.interface_summary, _always),
    ProbeCheck("memlock", node_checks.memlock, node_checks.memlock_summary, node_checks.no_rdma),
    ProbeCheck("rdma", node_checks.rdma, node_checks.rdma_summary, node_checks.no_rdma),
    ProbeCheck("shm", node_checks.shm, node_checks.shm_summary, _always),
    ProbeCheck("gpus", node_checks.gpus, node_checks.gpus_summary, node_checks.no_gpus),
    ProbeCheck("cache", node_checks.cache, node_checks.cache_summary, _always),
    ProbeCheck("weights", node_checks.weights, node_checks.weights_summary, node_checks.no_weights),
    ProbeCheck("bandwidth", bandwidth.problems, bandwidth.summary, bandwidth.not_measured),
    ProbeCheck("transport", bandwidth.problems, bandwidth.summary, bandwidth.not_measured),
    ProbeCheck("gpu-health", bandwidth.problems, bandwidth.summary, bandwidth.not_measured),
)


def answers_of(log: str) -> dict[str, Answer]:
    """Return the answers in a log, by check; other lines of the container are ignored."""
    found: dict[str, Answer] = {}
    for line in log.splitlines():
        if line.startswith(MARK):
            try:
                content: dict[str, Any] = json.loads(line.removeprefix(MARK))
                found[str(content.pop("check"))] = content
            except (ValueError, KeyError, TypeError):  # the line is cut off
                continue
    return found


def results(
    expected: Expectations, reports: Sequence[ProbeReport], refused: str, seconds: float
) -> Iterator[CheckResult]:
    """Yield the result of the probe as a whole, and of each check.

    Args:
        expected: what the release's pods rely on.
        reports: the pods that existed.
        refused: why the API server created no pods, empty when it did.
        seconds: how long the probe took.
    """
    yield from _whole(expected, reports, refused, seconds)
    for check in CHECKS:
        yield from _results(check, expected, reports)


def _whole(
    expected: Expectations, reports: Sequence[ProbeReport], refused: str, seconds: float
) -> Iterator[CheckResult]:
    fix = "Whatever blocks these pods will also block the release. Use --active-timeout to wait longer."
    if len(reports) < expected.nodes:
        why = f": {refused}" if refused else ""
        text = f"{len(reports)} of {expected.nodes} pods were created in {seconds:.0f} s{why}"
        yield failed("active", text, fix)
    bad = [item.pod for item in reports if item.pod.words]
    for phase, words in dict.fromkeys((pod.phase, pod.words) for pod in bad):
        where = ", ".join(pod.where for pod in bad if (pod.phase, pod.words) == (phase, words))
        what = "ended" if phase is Phase.ENDED else f"did not start in {seconds:.0f} s"
        yield failed("active", f"{where} {what}: {words}", fix)
    silent = [item.pod.where for item in reports if not item.pod.words and not item.answers]
    if silent:
        yield failed("active", f"{', '.join(silent)}: the pod logged nothing in {seconds:.0f} s", fix)
    if not bad and not silent and len(reports) == expected.nodes:
        yield passed("active", _all_well(expected, reports, seconds))


def _all_well(expected: Expectations, reports: Sequence[ProbeReport], seconds: float) -> str:
    policy = "a copy of the release's NetworkPolicy" if expected.policies else "no NetworkPolicy, like the release"
    where = ", ".join(item.pod.where for item in reports)
    pods = "1 pod" if expected.nodes == 1 else f"{expected.nodes} pods"
    return f"{pods} ran on {where} for {seconds:.0f} s, with {policy}"


def _results(check: ProbeCheck, expected: Expectations, reports: Sequence[ProbeReport]) -> Iterator[CheckResult]:
    name = f"active-{check.name}"
    if why := check.not_needed(expected):
        yield skipped(name, why)
        return
    given = [(item.pod, item.answers[check.name]) for item in reports if check.name in item.answers]
    found = [(pod, problem) for pod, answer in given for problem in check.problems(answer, expected)]
    for problem in dict.fromkeys(problem for _, problem in found):
        where = ", ".join(pod.where for pod, other in found if other == problem)
        yield CheckResult(name, problem.status, f"{where}: {problem.text}", problem.fix)
    missing = [item.pod.where for item in reports if item.answers and check.name not in item.answers]
    if missing and not any(problem.status is CheckStatus.FAIL for _, problem in found):
        fix = "Look at what else failed. The pod waited for another one, or ran out of time (--active-timeout)."
        yield failed(name, f"{', '.join(missing)}: no answer", fix)
    elif given and not found and not missing:
        yield passed(name, check.summary([answer for _, answer in given], expected))
