"""What is wrong with a node, as seen by one pod of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.preflight.result import CheckStatus

Answer = Mapping[str, Any]
"""What a pod reports for one check."""


@dataclass(frozen=True)
class ProbeProblem:
    """A problem, in the same words for each pod that has it.

    Attributes:
        text: what is wrong.
        fix: what to do.
        status: how bad it is.
    """

    text: str
    fix: str
    status: CheckStatus = CheckStatus.FAIL
