"""The problems that ``vmn validate`` finds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vmn.core.values.problem import ValuesProblem


def text(problems: Sequence[ValuesProblem], files: int) -> str:
    """Return one line per problem and one that counts them."""
    lines = [f"{problem.file}::{path(problem)}  {problem.message}" for problem in problems]
    return "\n".join([*lines, summary(len(problems), files)])


def path(problem: ValuesProblem) -> str:
    """Return the key as a JSON path."""
    return f"$.{problem.key}" if problem.key else "$"


def summary(problems: int, files: int) -> str:
    """Return the last line."""
    found = "no problems" if not problems else f"{problems} problem{'s' * (problems != 1)}"
    return f"{found} in {files} file{'s' * (files != 1)}"


def as_json(problems: Sequence[ValuesProblem]) -> str:
    """Return the problems as JSON."""
    names = ("file", "key", "value", "reason", "fix", "ring")
    return json.dumps([{name: getattr(item, name) for name in names} for item in problems], indent=2)
