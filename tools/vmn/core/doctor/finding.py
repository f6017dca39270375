"""What the doctor says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmn.core.doctor.evidence import Evidence


class Severity(StrEnum):
    """What a finding is in the story."""

    CAUSE = "cause"
    SYMPTOM = "symptom"
    NOTE = "note"


class GroupHealth(StrEnum):
    """How a group is."""

    SERVING = "serving"
    STARTING = "starting"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        id: of the signature, for programs.
        group: index, None for the whole release.
        pod: whose it is, None when of no single pod.
        role: in the story.
        text: what happened, in words.
        why: why such a thing happens.
        fix: what to do.
        source: where this is known from.
        section: of docs/failures.md, None without one.
        evidence: the lines that show it.
        at: when, in seconds since 1970; None when not known.
    """

    id: str
    group: int | None
    pod: str | None
    role: Severity
    text: str
    why: str
    fix: str
    source: str
    section: int | None
    evidence: Sequence[Evidence]
    at: float | None = None


@dataclass(frozen=True)
class GroupDiagnosis:
    """How a group is, and what is to say of it.

    Attributes:
        index: its own; None for what concerns the release as a whole.
        state: how it is.
        line: the state in words.
        findings: the verdict first.
    """

    index: int | None
    state: GroupHealth
    line: str
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Diagnosis:
    """All of a release.

    Attributes:
        release: its name.
        namespace: where it is.
        groups: each one.
        denied: what could not be read: plural name -> RBAC rule.
    """

    release: str
    namespace: str
    groups: Sequence[GroupDiagnosis]
    denied: Sequence[tuple[str, str]] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings: causes before symptoms before notes, the verdict first."""
        order = list(Severity)
        return sorted(
            (item for group in self.groups for item in group.findings), key=lambda item: order.index(item.role)
        )

    @property
    def failed(self) -> bool:
        """Whether something was found that keeps the release from serving."""
        return any(item.role is not Severity.NOTE for item in self.findings)

    @property
    def state(self) -> GroupHealth:
        """The worst state of all groups."""
        if self.failed or not self.groups:
            return GroupHealth.FAILED
        states = [group.state for group in self.groups]
        return GroupHealth.STARTING if GroupHealth.STARTING in states else GroupHealth.SERVING
