"""What one pod's facts show to be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.preflight.result import CheckStatus

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class ProbeProblem:
    """One, in the same words for each pod that has it.

    Attributes:
        text: what is wrong.
        fix: what to do.
        status: how bad it is.
    """

    text: str
    fix: str
    status: CheckStatus = CheckStatus.FAIL
