"""From evidence to a verdict: which pod of a group failed first and why, which pods wait for it, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.timestamps import clock, earliest
from vmn.core.doctor.events import event_sources, recreations, taken_down_since
from vmn.core.doctor.evidence import Evidence, Observation, Source
from vmn.core.doctor.finding import Diagnosis, Finding, GroupDiagnosis, GroupHealth, Severity
from vmn.core.doctor.groups import LOOP, cluster_sources, group_sources
from vmn.core.doctor.history import history, progress
from vmn.core.doctor.levels import Level
from vmn.core.doctor.milestones import goes_on
from vmn.core.doctor.past_failures import past_sources
from vmn.core.doctor.pods import outlives_deletion, pod_sources
from vmn.core.doctor.signature import Precedence, Signature, filled
from vmn.core.doctor.unexplained import unexplained

ORDER = list(Precedence)
DOUBTFUL = frozenset({Level.WARNING, Level.RETRY})
"""Lines that explain a failure only when no error does: the program that printed them went on."""
WHOLE_SECOND = 1.0
"""Deletion times have no fractions of a second, those of logs have."""
QUOTES = 4
"""Lines that are quoted for one finding at most."""


@dataclass(frozen=True)
class Match:
    """A signature, and the evidence for it.

    Attributes:
        signature: the signature.
        evidence: the lines that show it, the earliest first.
        role: role of the pod of the first line.
        past: whether it is about a pod that no longer exists.
    """

    signature: Signature
    evidence: Sequence[Evidence]
    role: str | None
    past: bool

    @property
    def precedence(self) -> Precedence:
        return self.signature.precedence

    @property
    def at(self) -> float | None:
        """When it was first seen."""
        return self.evidence[0].at

    @property
    def pod(self) -> str | None:
        return self.evidence[0].pod

    @property
    def order(self) -> tuple[int, bool, bool, float]:
        """The sort key: what explains most comes first, then existing pods, then what was seen first."""
        doubtful = self.evidence[0].level in DOUBTFUL
        precedence = max(self.precedence, Precedence.FALLBACK, key=ORDER.index) if doubtful else self.precedence
        return ORDER.index(precedence), doubtful, self.past, earliest([self.at])


def diagnose(release: Release, table: Sequence[Signature]) -> Diagnosis:
    """Return what is wrong with a release, group by group."""
    events = list(event_sources(release))
    everywhere: list[Source | Observation] = [
        *cluster_sources(release),
        *(item for item in events if item.group is None),
    ]
    groups = []
    for group in release.groups:
        own: list[Source | Observation] = [
            *_pods(release, group),
            *(item for item in events if item.group == group.index),
            *group_sources(release, group),
            *past_sources(release, group),
        ]
        groups.append(_group(release, group, _found(table, group, [*own, *everywhere])))
    if not release.groups:
        groups.append(_without_groups(release, list(matches(table, everywhere))))
    return Diagnosis(release.name, release.namespace, groups, list(release.snapshot.denied.items()))


def _found(table: Sequence[Signature], group: Group, sources: Sequence[Source | Observation]) -> list[Match]:
    """Return the matches for a group; in one that serves, only signatures for that are looked for."""
    if group.serving:
        return list(matches([item for item in table if item.serving], sources))
    more = [item for source in sources if isinstance(source, Source) for item in unexplained(source, table)]
    return list(matches(table, [*sources, *more]))


def _without_groups(release: Release, found: Sequence[Match]) -> GroupDiagnosis:
    shown = sorted((item for item in found if item.precedence is not Precedence.NOTE), key=lambda item: item.order)
    findings = [_finding(release, None, item, Severity.CAUSE, "") for item in shown]
    state = GroupHealth.FAILED if findings else GroupHealth.SERVING
    return GroupDiagnosis(None, state, "the release has no groups", findings)


def _pods(release: Release, group: Group) -> Iterator[Source | Observation]:
    """Yield what is known about a group's pods, without what happened after the group was deleted."""
    ends = taken_down_since(release, group)
    for pod in group.pods:
        end = ends.get(pod.name)
        for item in pod_sources(release, pod):
            if end is None or outlives_deletion(item):
                yield item
            elif isinstance(item, Source):
                yield item.until(end + WHOLE_SECOND)
            elif item.at is None or item.at <= end + WHOLE_SECOND:
                yield item


def matches(table: Iterable[Signature], sources: Sequence[Source | Observation]) -> Iterator[Match]:
    """Yield every signature for which there is evidence, once."""
    for signature in table:
        found = [(item, source) for source in sources if (item := signature.find(source))]
        found = [(item, source) for item, source in found if not _is_over(signature, item, source, sources)]
        if not found:
            continue
        found.sort(key=lambda pair: (pair[1].past, earliest([pair[0].at])))
        first = found[0][1]
        yield Match(signature, [item for item, _ in found], first.role, first.past)


def _is_over(
    signature: Signature, found: Evidence, source: Source | Observation, sources: Sequence[Source | Observation]
) -> bool:
    """Return whether later lines say that the failure is over, or that what printed the line goes on."""
    if signature.is_over(found, sources):
        return True
    is_note = signature.precedence is Precedence.NOTE
    return not is_note and isinstance(source, Source) and source.kind == "log" and goes_on(source, found)


def _group(release: Release, group: Group, found: Sequence[Match]) -> GroupDiagnosis:
    notes = list(history(release, group))
    if group.serving:
        return _serving(release, group, found, notes)
    looping = sum(event.count for event in recreations(release, group.index)) >= LOOP
    current = sorted((item for item in found if looping or not item.past), key=lambda item: item.order)
    quiet = [item for item in current if item.precedence is Precedence.NOTE]
    failures = _without_repeats(item for item in current if item.precedence is not Precedence.NOTE)
    noted = [_finding(release, group, item, Severity.NOTE, "") for item in quiet]
    if not failures:
        line = progress(release, group)
        return GroupDiagnosis(group.index, GroupHealth.STARTING, line, [*noted, *notes])
    findings = [*_failed(release, group, failures), *noted, *notes]
    return GroupDiagnosis(group.index, GroupHealth.FAILED, f"group {group.index} does not serve", findings)


def _serving(release: Release, group: Group, found: Sequence[Match], notes: Sequence[Finding]) -> GroupDiagnosis:
    shown = sorted((item for item in found if item.signature.serving), key=lambda item: item.order)
    findings = [_finding(release, group, item, _severity_when_serving(item), "") for item in shown]
    if any(item.severity is not Severity.NOTE for item in findings):
        state, line = GroupHealth.FAILED, f"group {group.index} is ready but unhealthy"
    else:
        state, line = GroupHealth.SERVING, f"group {group.index} serves"
    return GroupDiagnosis(group.index, state, line, [*findings, *notes])


def _without_repeats(found: Iterable[Match]) -> list[Match]:
    """Return the matches without those that only repeat what an earlier one says about the same lines."""
    kept: list[Match] = []
    seen: set[tuple[str, str]] = set()
    for item in found:
        lines = {(line.origin, line.line) for line in item.evidence}
        if not lines <= seen:
            kept.append(item)
        seen |= lines
    return kept


def _severity_when_serving(item: Match) -> Severity:
    return Severity.CAUSE if item.precedence is Precedence.CAUSE else Severity.NOTE


def _failed(release: Release, group: Group, found: Sequence[Match]) -> Iterator[Finding]:
    """Yield the verdict, other causes, and what follows from them."""
    verdict = found[0]
    yield _finding(release, group, verdict, Severity.CAUSE, _waiting(group, verdict))
    pods = {verdict.pod}
    for item in found[1:]:
        if item.precedence is Precedence.FALLBACK or (item.precedence is Precedence.WRAPPER and item.pod in pods):
            continue
        pods.add(item.pod)
        independent = item.precedence is Precedence.CAUSE and item.pod != verdict.pod
        severity = Severity.CAUSE if independent else Severity.SYMPTOM
        yield _finding(release, group, item, severity, "", after=verdict)


def _waiting(group: Group, verdict: Match) -> str:
    """Return which other pods merely wait for the one that failed."""
    others = [pod for pod in group.pods if verdict.pod and pod.name != verdict.pod and not pod.ready]
    waits = [f"{pod.name} ({pod.role})" for pod in others if pod.running_since is not None]
    return f" {' and '.join(waits)} only wait{'s' * (len(waits) == 1)} for it." if waits else ""


def _finding(
    release: Release, group: Group | None, item: Match, severity: Severity, more: str, after: Match | None = None
) -> Finding:
    words = {**_words(release, group, item), **item.evidence[0].words}
    title = filled(item.signature.title, words)
    return Finding(
        id=item.signature.id,
        group=group.index if group else None,
        pod=item.pod,
        severity=severity,
        text=f"{_subject(item, severity, after, group)}{title}.{more}",
        why=filled(item.signature.cause, words),
        fix=filled(item.signature.fix, words),
        source=item.signature.source,
        section=item.signature.section,
        evidence=item.evidence[:QUOTES],
        at=item.at,
    )


def _subject(item: Match, severity: Severity, after: Match | None, group: Group | None) -> str:
    if not item.pod:
        return ""
    who = f"{item.pod} ({item.role})" if item.role else item.pod
    when = f", at {clock(item.at)}" if item.at else ""
    if when and severity is Severity.CAUSE and after is None and group and group.size > 1:
        return f"{who} failed first{when}: "
    if severity is Severity.SYMPTOM and after and after.pod and after.pod != item.pod:
        return f"{who}, because of {after.pod}{when}: "
    return f"{who}{when}: "


def _words(release: Release, group: Group | None, item: Match) -> dict[str, str]:
    pods: Sequence[Pod] = group.pods if group else ()
    index = group.index if group else 0
    node = next((pod.node for pod in pods if pod.name == item.pod and pod.node), None)
    return {
        "release": release.name,
        "namespace": release.namespace,
        "group": str(index),
        "leader": f"{release.name}-{index}",
        "pod": item.pod or f"{release.name}-{index}",
        "role": item.role or "leader",
        "node": node or "NODE",
    }
