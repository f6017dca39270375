"""Rendering the chart with Helm: the manifests of a release, and ring 2, the chart's own rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmn.adapters.programs import run
from vmn.core.values.helm_messages import render_problem, rule_problems
from vmn.core.values.problem import ValuesProblem
from vmn.core.values.yaml import documents

TEMPLATE_LIMIT = 60
"""Seconds; rendering takes about 0.2."""


class RenderError(Exception):
    """The chart refuses the values; the message is Helm's."""


def template_command(
    chart: Path, files: Sequence[Path], *, helm: str = "helm", release: str = "vllm", extra: Sequence[str] = ()
) -> list[str]:
    """Return the command that renders the chart."""
    options = [option for file in files for option in ("--values", str(file))]
    return [helm, "template", release, str(chart), *options, *extra]


def manifests(
    chart: Path, files: Sequence[Path], release: str, namespace: str, options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the objects of a release, without its tests.

    Args:
        chart: directory of the chart.
        files: values files; the last one wins.
        release: name of the release.
        namespace: namespace of the release.
        options: further options of Helm.

    Raises:
        MissingError: Helm is not on PATH.
        RenderError: the chart refuses the values.
    """
    extra = ["--namespace", namespace, "--skip-tests", *options]
    done = run(template_command(chart, files, release=release, extra=extra), TEMPLATE_LIMIT)
    if done.code:
        raise RenderError(done.stderr.strip())
    return documents(done.stdout)


def template_problems(
    chart: Path, files: Sequence[Path], *, only_rules: bool, helm: str = "helm"
) -> list[ValuesProblem]:
    """Render the chart, and return the problems that it reports.

    Args:
        chart: directory of the chart.
        files: values files; the last one wins.
        only_rules: whether to skip Helm's schema check, and to report only the chart's own rules.
        helm: the program.

    Raises:
        MissingError: Helm is not on PATH.
    """
    extra = ["--skip-schema-validation"] if only_rules else []
    done = run(template_command(chart, files, helm=helm, extra=extra), TEMPLATE_LIMIT)
    if done.code == 0:
        return []
    found = rule_problems(done.stderr)
    return found if found or only_rules else [render_problem(done.stderr)]
