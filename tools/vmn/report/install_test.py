"""The results of ``vmn install-test``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict

from vmn.core.install_test import Item, ItemResult, Step


def text(results: Sequence[ItemResult]) -> str:
    """Return a line for each item, and one that counts the failures."""
    lines = [
        f"{'FAILED' if result.problem else 'passed'}  {result.item} ({result.seconds:.0f} s)"
        + (f": {result.problem}" if result.problem else "")
        for result in results
    ]
    failed = sum(bool(result.problem) for result in results)
    return "\n".join([*lines, f"{failed} of {len(results)} failed" if failed else f"all {len(results)} passed"])


def as_json(results: Sequence[ItemResult]) -> str:
    """Return the results as JSON."""
    return json.dumps([asdict(result) for result in results], indent=2)


def commands(items: Sequence[Item], last: Sequence[Step]) -> str:
    """Return every command, ready for a shell."""
    lines: list[str] = []
    for item in items:
        lines.append(f"# {item.name}")
        lines += [_line(step) for step in item.steps]
        lines += [f"{shlex.join(step.command)}  # after a failure" for step in item.cleanup]
    lines += [f"{shlex.join(step.command)}  # always" for step in last]
    return "\n".join(lines)


def _line(step: Step) -> str:
    command = shlex.join(step.command)
    return f"(cd {shlex.quote(str(step.folder))} && {command})" if step.folder else command
