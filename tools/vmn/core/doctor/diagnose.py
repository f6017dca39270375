"""From lines to a verdict: which pod of a group failed first and why, what waits for it, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.timestamps import clock, earliest
from vmn.core.doctor.events import event_sources, recreations, taken_down_since
from vmn.core.doctor.evidence import Evidence, Source
from vmn.core.doctor.finding import Diagnosis, Finding, GroupDiagnosis, GroupHealth, Severity
from vmn.core.doctor.groups import LOOP, cluster_sources, group_sources
from vmn.core.doctor.history import history, progress
from vmn.core.doctor.past_failures import earlier_sources
from vmn.core.doctor.pods import pod_sources
from vmn.core.doctor.signature import Precedence, Signature, filled

RANKS = list(Precedence)
WHOLE_SECOND = 1.0
"""Deletion times have no fractions, those of logs have."""
QUOTES = 3
"""Lines quoted for one finding at most."""


@dataclass(frozen=True)
class Match:
    """A signature, and the lines that show it.

    Attributes:
        signature: which one.
        evidence: the earliest line first.
        role: of the pod of that line.
        past: it tells of a pod that is gone.
    """

    signature: Signature
    evidence: Sequence[Evidence]
    role: str | None
    past: bool

    @property
    def at(self) -> float | None:
        """When it was seen first."""
        return self.evidence[0].at

    @property
    def pod(self) -> str | None:
        """Whose it is."""
        return self.evidence[0].pod

    @property
    def order(self) -> tuple[int, bool, float]:
        """The verdict has the least: what explains most, of pods that are there, and of those what came first."""
        return RANKS.index(self.signature.rank), self.past, earliest([self.at])


def diagnose(release: Release, table: Sequence[Signature]) -> Diagnosis:
    """Return what is wrong with a release, group by group."""
    told = list(event_sources(release))
    everywhere = [*cluster_sources(release), *(item for item in told if item.group is None)]
    local = [item for item in told if item.group is not None]
    groups = []
    for group in release.groups:
        own = [
            *_pods(release, group),
            *(item for item in local if item.group == group.index),
            *group_sources(release, group),
            *earlier_sources(release, group),
        ]
        groups.append(_group(release, group, list(matches(table, [*own, *everywhere]))))
    if not release.groups:
        found = [item for item in matches(table, everywhere) if item.signature.rank is not Precedence.NOTE]
        findings = [
            _finding(release, None, item, Severity.CAUSE, "") for item in sorted(found, key=lambda one: one.order)
        ]
        groups.append(
            GroupDiagnosis(None, GroupHealth.FAILED if findings else GroupHealth.SERVING, "it has no groups", findings)
        )
    return Diagnosis(release.name, release.namespace, groups, list(release.snapshot.denied.items()))


def _pods(release: Release, group: Group) -> Iterator[Source]:
    """Yield the lines of a group's pods without what they said after somebody began to take their group down."""
    ends = taken_down_since(release, group)
    for pod in group.pods:
        end = ends.get(pod.name)
        for source in pod_sources(release, pod):
            stays = source.text.startswith("Terminating") or source.kind in ("node", "pending")
            yield source if stays or end is None else source.until(end + WHOLE_SECOND)


def matches(table: Iterable[Signature], sources: Sequence[Source]) -> Iterator[Match]:
    """Yield every signature that some line shows, once."""
    for signature in table:
        found = [(item, source) for source in sources if (item := signature.find(source))]
        found = [(item, source) for item, source in found if not signature.is_over(item, sources)]
        if not found:
            continue
        found.sort(key=lambda pair: (pair[1].past, earliest([pair[0].at])))
        first = found[0][1]
        yield Match(signature, [item for item, _ in found], first.role, first.past)


def _group(release: Release, group: Group, found: Sequence[Match]) -> GroupDiagnosis:
    notes = list(history(release, group))
    if group.serving:
        shown = sorted((item for item in found if item.signature.serving), key=lambda item: item.order)
        findings = [_finding(release, group, item, _serving_role(item), "") for item in shown]
        state = GroupHealth.FAILED if any(item.role is not Severity.NOTE for item in findings) else GroupHealth.SERVING
        line = (
            f"group {group.index} serves" if state is GroupHealth.SERVING else f"group {group.index} is ready, and ill"
        )
        return GroupDiagnosis(group.index, state, line, [*findings, *notes])
    looping = sum(event.count for event in recreations(release, group.index)) >= LOOP
    current = sorted((item for item in found if looping or not item.past), key=lambda item: item.order)
    told = _without_repeats(item for item in current if item.signature.rank is not Precedence.NOTE)
    if not told:
        quiet = [_finding(release, group, item, Severity.NOTE, "") for item in current]
        return GroupDiagnosis(group.index, GroupHealth.STARTING, progress(release, group), [*quiet, *notes])
    findings = list(_story(release, group, told))
    findings += [
        _finding(release, group, item, Severity.NOTE, "") for item in current if item.signature.rank is Precedence.NOTE
    ]
    return GroupDiagnosis(group.index, GroupHealth.FAILED, f"group {group.index} does not serve", [*findings, *notes])


def _without_repeats(found: Iterable[Match]) -> list[Match]:
    """Return the matches without those that only say again what an earlier one says of the same line."""
    kept: list[Match] = []
    seen: set[tuple[str, str]] = set()
    for item in found:
        lines = {(line.origin, line.line) for line in item.evidence}
        if not lines <= seen:
            kept.append(item)
        seen |= lines
    return kept


def _serving_role(item: Match) -> Severity:
    return Severity.CAUSE if item.signature.rank is Precedence.CAUSE else Severity.NOTE


def _story(release: Release, group: Group, told: Sequence[Match]) -> Iterator[Finding]:
    """Yield the verdict, other causes, and what follows from them."""
    verdict = told[0]
    yield _finding(release, group, verdict, Severity.CAUSE, _waiting(group, verdict))
    pods = {verdict.pod}
    for item in told[1:]:
        rank = item.signature.rank
        if rank is Precedence.FALLBACK or (rank is Precedence.WRAPPER and item.pod in pods):
            continue
        pods.add(item.pod)
        independent = item.signature.rank is Precedence.CAUSE and item.pod != verdict.pod
        yield _finding(release, group, item, Severity.CAUSE if independent else Severity.SYMPTOM, "", after=verdict)


def _waiting(group: Group, verdict: Match) -> str:
    """Return which other pods merely wait."""
    others = [pod for pod in group.pods if verdict.pod and pod.name != verdict.pod and not pod.ready]
    waits = [f"{pod.name} ({pod.role})" for pod in others if pod.running_since is not None]
    return f" {' and '.join(waits)} only wait{'s' * (len(waits) == 1)} for it." if waits else ""


def _finding(
    release: Release, group: Group | None, item: Match, role: Severity, more: str, after: Match | None = None
) -> Finding:
    words = {**_words(release, group, item), **item.evidence[0].words}
    title = filled(item.signature.title, words)
    return Finding(
        id=item.signature.id,
        group=group.index if group else None,
        pod=item.pod,
        role=role,
        text=f"{_subject(item, role, after, group)}{title}.{more}",
        why=filled(item.signature.cause, words),
        fix=filled(item.signature.fix, words),
        source=item.signature.source,
        section=item.signature.section,
        evidence=item.evidence[:QUOTES],
        at=item.at,
    )


def _subject(item: Match, role: Severity, after: Match | None, group: Group | None) -> str:
    if not item.pod:
        return ""
    who = f"{item.pod} ({item.role})" if item.role else item.pod
    when = f", at {clock(item.at)}" if item.at else ""
    if when and role is Severity.CAUSE and after is None and group and group.size > 1:
        return f"{who} failed first{when}: "
    if role is Severity.SYMPTOM and after and after.pod and after.pod != item.pod:
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
