"""What ``vmn install-test`` runs: items, each a list of commands and what must come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

KINDS = (
    "leaderworkersets.leaderworkerset.x-k8s.io,statefulsets,pods,services,secrets,configmaps,serviceaccounts,"
    "networkpolicies,poddisruptionbudgets,jobs"
)
"""Kinds of which nothing of a release may be left. Volume claims may stay: they hold weights and caches."""
MADE_KINDS = "statefulsets,pods,services,controllerrevisions"
"""Kinds that LeaderWorkerSet makes, with its own label instead of the release's."""
SLACK = 60
"""Seconds that a command gets beyond the time it was told to wait."""


@dataclass(frozen=True)
class Step:
    """One command; it must end with status 0, and print what is expected when that is said."""

    command: Sequence[str]
    limit: float
    prints: str | None = None
    """``same`` for two equal words, ``nothing`` for no output, None for anything."""


@dataclass(frozen=True)
class Item:
    """One thing under test."""

    name: str
    steps: Sequence[Step]
    explain: Sequence[Step] = field(default=())
    """What to show when a step failed."""
    cleanup: Sequence[Step] = field(default=())
    """Always run at the end."""


@dataclass(frozen=True)
class Settings:
    """Where and how."""

    chart: Path
    overlays: Sequence[Path]
    extra_values: Sequence[Path]
    namespace: str
    own_namespace: bool
    """The namespace is made and removed by the test."""
    config: Path | None
    """chart-testing's configuration file."""
    wait: int
    """Seconds for a release to become ready or to go."""
    release: str = "install-test"


def items(settings: Settings) -> list[Item]:
    """Return everything to do, in order."""
    return [lint(settings), install(settings), *(overlay(settings, file) for file in settings.overlays)]


def lint(settings: Settings) -> Item:
    """Return chart-testing's lint over the chart and its ci values."""
    rules = ["--validate-yaml=false", "--validate-chart-schema=false"]  # the files with the rules are in a checkout
    if settings.config:
        folder = settings.config.parent / ".ct"
        rules = ["--lint-conf", str(folder / "lintconf.yaml"), "--chart-yaml-schema", str(folder / "chart_schema.yaml")]
    return Item("ct lint", [Step(["ct", "lint", *_ct_options(settings), *rules], 180)])


def install(settings: Settings) -> Item:
    """Return chart-testing's installation of the chart with each of its ci values."""
    extra = " ".join(f"--values={file}" for file in settings.extra_values)
    options = [f"--helm-extra-set-args={extra}"] if extra else []
    options += [f"--helm-extra-args=--timeout={settings.wait}s"]
    if not settings.own_namespace:
        options += ["--namespace", settings.namespace]
    return Item("ct install", [Step(["ct", "install", *_ct_options(settings), *options], settings.wait * 4)])


def overlay(settings: Settings, file: Path) -> Item:
    """Return lint, install, check, uninstall and check for one overlay."""
    chart, release, wait = str(settings.chart), settings.release, settings.wait
    namespace = ["--namespace", settings.namespace]
    values = [option for path in (file, *settings.extra_values) for option in ("--values", str(path))]
    selected = ["--selector", f"app.kubernetes.io/instance={release}"]
    made = [MADE_KINDS, "--selector", f"leaderworkerset.sigs.k8s.io/name={release}", *namespace]
    lws = ["leaderworkersets.leaderworkerset.x-k8s.io", *selected, *namespace]
    counts = "jsonpath={range .items[*]}{.spec.replicas} {.status.readyReplicas}{end}"
    until = f"--timeout={wait}s"
    make_namespace = ["--create-namespace"] if settings.own_namespace else []
    steps = [
        Step(["helm", "lint", chart, "--strict", *values], SLACK),
        Step(["helm", "template", release, chart, *namespace, *values], SLACK),  # lint passes over `fail`
        Step(["helm", "install", release, chart, *namespace, *make_namespace, *values, "--wait", until], wait + SLACK),
        Step(["kubectl", "wait", "--for=condition=Available", *lws, until], wait + SLACK),
        Step(["kubectl", "get", *lws, "--output", counts], SLACK, prints="same"),
        Step(["helm", "uninstall", release, *namespace, "--wait", until], wait + SLACK),
        Step(["kubectl", "wait", "--for=delete", *made, until], wait + SLACK),
        Step(["kubectl", "get", *made, "--output=name"], SLACK, prints="nothing"),
        Step(["kubectl", "get", KINDS, *selected, *namespace, "--output=name"], SLACK, prints="nothing"),
    ]
    explain = [
        Step(["kubectl", "get", "pods", *namespace, "--output=wide"], SLACK),
        Step(["kubectl", "get", "events", *namespace, "--sort-by=.lastTimestamp"], SLACK),
    ]
    cleanup = [Step(["helm", "uninstall", release, *namespace, "--ignore-not-found", "--wait", until], wait + SLACK)]
    if settings.own_namespace:
        gone = ["kubectl", "delete", "namespace", settings.namespace, "--ignore-not-found", until]
        cleanup.append(Step(gone, wait + SLACK))
    return Item(f"overlay {file.name}", steps, explain, cleanup)


def refusal(step: Step, output: str) -> str:
    """Return why a command's output is not what was expected, or nothing."""
    words = output.split()
    if step.prints == "nothing" and words:
        return f"left behind: {', '.join(words)}"
    if step.prints == "same" and (len(words) != 2 or words[0] != words[1]):
        return f"groups wanted and ready: {output.strip() or 'none found'}"
    return ""


def _ct_options(settings: Settings) -> list[str]:
    config = ["--config", str(settings.config)] if settings.config else []
    return [*config, "--charts", str(settings.chart)]
