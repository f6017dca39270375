"""Ring 2: the chart's own rules, by rendering it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmn.adapters.programs import run
from vmn.core.problem import Problem
from vmn.core.rules import render_problem, rule_problems

TEMPLATE_LIMIT = 60
"""Seconds; a render takes about 0.2."""


def template_command(chart: Path, files: Sequence[Path], *, helm: str = "helm", extra: Sequence[str] = ()) -> list[str]:
    """Return the command that renders the chart as release ``vllm``."""
    options = [option for file in files for option in ("--values", str(file))]
    return [helm, "template", "vllm", str(chart), *options, *extra]


def template_problems(chart: Path, files: Sequence[Path], *, only_rules: bool, helm: str = "helm") -> list[Problem]:
    """Render the chart and return what it says against the values.

    Args:
        chart: the chart's folder.
        files: values files, the last one wins.
        only_rules: pass over Helm's schema check, and report the chart's own rules and nothing else.
        helm: the program.

    Raises:
        MissingError: there is no Helm.
    """
    extra = ["--skip-schema-validation"] if only_rules else []
    done = run(template_command(chart, files, helm=helm, extra=extra), TEMPLATE_LIMIT)
    if done.code == 0:
        return []
    found = rule_problems(done.stderr)
    return found if found or only_rules else [render_problem(done.stderr)]
