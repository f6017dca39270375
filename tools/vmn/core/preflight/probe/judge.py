"""What the pods' facts mean for the release: one finding per check, for all pods of the group together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmn.core.preflight.probe import network_checks, node_checks
from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Facts, ProbeProblem
from vmn.core.preflight.probe.progress import Phase, PodProgress
from vmn.core.preflight.result import CheckResult, CheckStatus, failed, passed, skipped

MARK = "vmn-active "
"""Begins each line of facts in a pod's log."""
Judge = Callable[[Facts, Expectations], Iterator[ProbeProblem]]
Said = Callable[[Sequence[Facts], Expectations], str]


@dataclass(frozen=True)
class ProbeReport:
    """A pod, and the facts that it gave by check."""

    state: PodProgress
    facts: Mapping[str, Facts]


@dataclass(frozen=True)
class ProbeCheck:
    """One check.

    Attributes:
        name: of the facts, and of the finding with ``active-`` before it.
        problems: what one pod's facts show to be wrong.
        well: what to say when nothing is.
        needless: why the release does not need it, None when it does.
    """

    name: str
    problems: Judge
    well: Said
    needless: Callable[[Expectations], str | None]


CHECKS = (
    ProbeCheck("dns", network_checks.dns, network_checks.dns_well, network_checks.alone),
    ProbeCheck("port", network_checks.port, network_checks.port_well, network_checks.alone),
    ProbeCheck("interface", network_checks.interface, network_checks.interface_well, lambda asked: None),
    ProbeCheck("memlock", node_checks.memlock, node_checks.memlock_well, node_checks.no_rdma),
    ProbeCheck("rdma", node_checks.rdma, node_checks.rdma_well, node_checks.no_rdma),
    ProbeCheck("shm", node_checks.shm, node_checks.shm_well, lambda asked: None),
    ProbeCheck("gpus", node_checks.gpus, node_checks.gpus_well, node_checks.no_gpus),
    ProbeCheck("cache", node_checks.cache, node_checks.cache_well, lambda asked: None),
    ProbeCheck("weights", node_checks.weights, node_checks.weights_well, node_checks.no_weights),
)


def facts_of(log: str) -> dict[str, Facts]:
    """Return the facts that a log has, by check; what else the container printed is passed over."""
    found: dict[str, Facts] = {}
    for line in log.splitlines():
        if line.startswith(MARK):
            try:
                content: dict[str, Any] = json.loads(line.removeprefix(MARK))
                found[str(content.pop("check"))] = content
            except (ValueError, KeyError, TypeError):  # cut off
                continue
    return found


def findings(
    asked: Expectations, reports: Sequence[ProbeReport], refused: str, seconds: float
) -> Iterator[CheckResult]:
    """Yield what the run as a whole and each check say.

    Args:
        asked: what the release's pods count on.
        reports: of the pods there were.
        refused: why the server made no pods, empty when it did.
        seconds: that the run took.
    """
    yield from _run(asked, reports, refused, seconds)
    for check in CHECKS:
        yield from _findings(check, asked, reports)


def _run(asked: Expectations, reports: Sequence[ProbeReport], refused: str, seconds: float) -> Iterator[CheckResult]:
    fix = "What keeps these pods from running keeps the release's from it too; --active-timeout gives them longer."
    if len(reports) < asked.nodes:
        why = f": {refused}" if refused else ""
        yield failed("active", f"the server made {len(reports)} of {asked.nodes} pods in {seconds:.0f} s{why}", fix)
    bad = [item.state for item in reports if item.state.words]
    for phase, words in dict.fromkeys((state.phase, state.words) for state in bad):
        where = ", ".join(state.where for state in bad if (state.phase, state.words) == (phase, words))
        what = "ended" if phase is Phase.ENDED else f"did not start in {seconds:.0f} s"
        yield failed("active", f"{where} {what}: {words}", fix)
    silent = [item.state.where for item in reports if not item.state.words and not item.facts]
    if silent:
        yield failed("active", f"{', '.join(silent)}: the pod said nothing within {seconds:.0f} s", fix)
    if not bad and not silent and len(reports) == asked.nodes:
        policy = "a copy of the release's NetworkPolicy" if asked.policies else "no NetworkPolicy, like the release"
        where = ", ".join(item.state.where for item in reports)
        text = f"{asked.nodes} pod(s) ran on {where} for {seconds:.0f} s, with {policy}, and were removed"
        yield passed("active", text)


def _findings(check: ProbeCheck, asked: Expectations, reports: Sequence[ProbeReport]) -> Iterator[CheckResult]:
    name = f"active-{check.name}"
    if why := check.needless(asked):
        yield skipped(name, why)
        return
    given = [(item.state, item.facts[check.name]) for item in reports if check.name in item.facts]
    found = [(state, problem) for state, facts in given for problem in check.problems(facts, asked)]
    for problem in dict.fromkeys(problem for _, problem in found):
        where = ", ".join(state.where for state, other in found if other == problem)
        yield CheckResult(name, problem.status, f"{where}: {problem.text}", problem.fix)
    missing = [item.state.where for item in reports if item.facts and check.name not in item.facts]
    if missing and not any(problem.status is CheckStatus.FAIL for _, problem in found):
        fix = "Look at what else failed: its pod waited for it, or the time was up (--active-timeout)."
        yield failed(name, f"{', '.join(missing)}: no answer", fix)
    elif given and not found and not missing:
        yield passed(name, check.well([facts for _, facts in given], asked))
