"""What the doctor reports: findings, the health of each group, and the diagnosis of a release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmn.core.doctor.evidence import Evidence


class Severity(StrEnum):
    """What a finding is for the release."""

    CAUSE = "cause"
    SYMPTOM = "symptom"
    NOTE = "note"


class GroupHealth(StrEnum):
    """Whether a group serves."""

    SERVING = "serving"
    STARTING = "starting"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """Something that was found in a release.

    Attributes:
        id: id of the signature, for programs.
        group: index of the group, None for the whole release.
        pod: name of the pod, None when it is not about a single pod.
        severity: cause, symptom, or note.
        text: what happened, in words.
        why: why such a thing happens.
        fix: what to do.
        source: where this is known from.
        section: section of docs/failures.md, None without one.
        evidence: the lines that show it.
        at: when it happened, in seconds since 1970; None when that is not known.
    """

    id: str
    group: int | None
    pod: str | None
    severity: Severity
    text: str
    why: str
    fix: str
    source: str
    section: int | None
    evidence: Sequence[Evidence]
    at: float | None = None


@dataclass(frozen=True)
class GroupDiagnosis:
    """The health of a group, and the findings about it.

    Attributes:
        index: index of the group; None for the release as a whole.
        state: whether it serves.
        line: its state in words.
        findings: the findings, the verdict first.
    """

    index: int | None
    state: GroupHealth
    line: str
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of a release.

    Attributes:
        release: name of the release.
        namespace: namespace of the release.
        groups: the diagnoses of its groups.
        denied: what could not be read: plural name and RBAC rule.
    """

    release: str
    namespace: str
    groups: Sequence[GroupDiagnosis]
    denied: Sequence[tuple[str, str]] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings: causes before symptoms before notes, the verdict first."""
        order = list(Severity)
        found = (item for group in self.groups for item in group.findings)
        return sorted(found, key=lambda item: order.index(item.severity))

    @property
    def failed(self) -> bool:
        """Whether something keeps the release from serving."""
        return any(item.severity is not Severity.NOTE for item in self.findings)

    @property
    def state(self) -> GroupHealth:
        """The worst state of all groups."""
        if self.failed or not self.groups:
            return GroupHealth.FAILED
        states = [group.state for group in self.groups]
        return GroupHealth.STARTING if GroupHealth.STARTING in states else GroupHealth.SERVING
