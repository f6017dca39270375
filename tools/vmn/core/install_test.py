"""What ``vmn install-test`` runs: items, each a list of commands and their expected results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from vmn.core.cluster.lws import CRD, NAME
from vmn.core.cluster.release import INSTANCE

KINDS = f"{CRD},statefulsets,pods,services,secrets,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,jobs"
"""Kinds of which nothing may remain of a release. Volume claims may remain: they hold weights and caches."""
MADE_KINDS = "statefulsets,pods,services,controllerrevisions"
"""Kinds that LeaderWorkerSet creates, with its own label instead of the release's."""
SLACK = 60
"""Seconds that a command gets in addition to the time for which it waits."""


@dataclass(frozen=True)
class Step:
    """A command that must exit with status 0, and may have to print something."""

    command: Sequence[str]
    limit: float
    prints: str | None = None
    """``same`` for two or more equal words, ``nothing`` for no output, None for any output."""
    folder: Path | None = None
    """The directory in which it runs, if that matters."""


@dataclass(frozen=True)
class Item:
    """One thing to test."""

    name: str
    steps: Sequence[Step]
    explain: Sequence[Step] = field(default=())
    """What to run and show after a failed step."""
    cleanup: Sequence[Step] = field(default=())
    """What to run after a failure or an interrupt, as the steps that remove what was installed may not have run."""


@dataclass(frozen=True)
class ItemResult:
    """How an item ended; without a problem it passed."""

    item: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class Settings:
    """Where and how to test."""

    chart: Path
    values_files: Sequence[Path]
    extra_values: Sequence[Path]
    namespace: str
    own_namespace: bool
    """Whether the test creates and deletes the namespace."""
    config: Path | None
    """chart-testing's configuration file."""
    wait: int
    """Seconds for a release to become ready, or to disappear."""
    release: str = "install-test"
    previous: Path | None = None
    """The chart from which releases are upgraded."""
    upgrades: Sequence[tuple[Path, Path]] = ()
    """Pairs of values files: for the installation of the previous chart, and for the upgrade."""
    git_root: Path | None = None
    """The checkout, if chart-testing finds the target branch's chart in its history."""


def items(settings: Settings) -> list[Item]:
    """Return all items, in order. Each has a release of its own, so that several can run at the same time."""
    numbered = (replace(settings, release=f"{settings.release}-{number}") for number in count(1))
    found = [lint(settings), install(settings)]
    found += [preset(own, file) for file, own in zip(settings.values_files, numbered, strict=False)]
    if settings.previous:
        for files, own in zip(settings.upgrades, numbered, strict=False):
            found.append(upgrade(own, settings.previous, *files))
    return found


def last(settings: Settings) -> list[Step]:
    """Return the last steps: all items share a namespace, because deleting one takes seconds."""
    until, limit = f"--timeout={settings.wait}s", settings.wait + SLACK
    gone = ["kubectl", "delete", "namespace", settings.namespace, "--ignore-not-found", until]
    return [Step(gone, limit)] if settings.own_namespace else []


def lint(settings: Settings) -> Item:
    """Return chart-testing's lint over the chart and its ci values."""
    rules = ["--validate-yaml=false", "--validate-chart-schema=false"]  # the files with the rules are in a checkout
    if settings.config:
        folder = settings.config.parent / ".ct"
        rules = ["--lint-conf", str(folder / "lintconf.yaml"), "--chart-yaml-schema", str(folder / "chart_schema.yaml")]
    return Item("ct lint", [Step(["ct", "lint", *_ct_options(settings), *rules], 180)])


def install(settings: Settings) -> Item:
    """Return chart-testing's installation of the chart with each of its ci values.

    With a target branch it also upgrades from that branch's chart. It must then run in the checkout, with a relative
    path of the chart: it silently skips a chart that it does not find on the branch.
    """
    extra = " ".join(f"--values={file}" for file in settings.extra_values)
    options = [f"--helm-extra-set-args={extra}"] if extra else []
    options += [f"--helm-extra-args=--timeout={settings.wait}s"]
    if not settings.own_namespace:
        options += ["--namespace", settings.namespace]
    root = settings.git_root
    if not root:
        return Item("ct install", [Step(["ct", "install", *_ct_options(settings), *options], settings.wait * 4)])
    chart = settings.chart.resolve().relative_to(root)
    command = ["ct", "install", "--upgrade", *_ct_options(replace(settings, chart=chart)), *options]
    return Item("ct install --upgrade", [Step(command, settings.wait * 12, folder=root)])


def preset(settings: Settings, file: Path) -> Item:
    """Return the steps that lint, install, check, and uninstall one values file."""
    chart, release = str(settings.chart), settings.release
    namespace, values = _namespace(settings), _values(settings, file)
    steps = [
        Step(["helm", "lint", chart, "--strict", *values], SLACK),
        Step(["helm", "template", release, chart, *namespace, *values], SLACK),  # helm lint ignores `fail`
        _helm_install(settings, settings.chart, file),
        *_check(settings, "{.status.readyReplicas}"),
        *_remove(settings),
    ]
    return Item(f"preset {file.name}", steps, _explain(settings), _cleanup(settings))


def upgrade(settings: Settings, previous: Path, before: Path, file: Path) -> Item:
    """Return the steps that install the previous chart, upgrade to this one, and uninstall it.

    Args:
        settings: where and how to test.
        previous: the previous chart.
        before: the values file for the installation.
        file: the values file for the upgrade.
    """
    until = f"--timeout={settings.wait}s"
    command = ["helm", "upgrade", settings.release, str(settings.chart), *_namespace(settings)]
    steps = [
        _helm_install(settings, previous, before),
        *_check(settings, "{.status.readyReplicas}"),
        Step([*command, *_values(settings, file), "--wait", until], settings.wait + SLACK),
        *_check(settings, "{.status.readyReplicas} {.status.updatedReplicas}"),
        *_remove(settings),
    ]
    return Item(f"upgrade {file.name}", steps, _explain(settings), _cleanup(settings))


def _namespace(settings: Settings) -> list[str]:
    return ["--namespace", settings.namespace]


def _values(settings: Settings, file: Path) -> list[str]:
    return [option for path in (file, *settings.extra_values) for option in ("--values", str(path))]


def _helm_install(settings: Settings, chart: Path, file: Path) -> Step:
    make = ["--create-namespace"] if settings.own_namespace else []
    options = [*_namespace(settings), *make, *_values(settings, file), "--wait", f"--timeout={settings.wait}s"]
    return Step(["helm", "install", settings.release, str(chart), *options], settings.wait + SLACK)


def _check(settings: Settings, counts: str) -> list[Step]:
    """Return the steps that wait for groups to serve, and that compare each count with the desired number."""
    lws = [CRD, *_selected(settings)]
    shown = f"jsonpath={{range .items[*]}}{{.spec.replicas}} {counts}{{end}}"
    until = f"--timeout={settings.wait}s"
    return [
        Step(["kubectl", "wait", "--for=condition=Available", *lws, until], settings.wait + SLACK),
        Step(["kubectl", "get", *lws, "--output", shown], SLACK, prints="same"),
    ]


def _remove(settings: Settings) -> list[Step]:
    """Return the steps that uninstall the release, and look for what remains."""
    made = _made(settings)
    return [
        *_uninstall(settings),
        Step(["kubectl", "get", *made, "--output=name"], SLACK, prints="nothing"),
        Step(["kubectl", "get", KINDS, *_selected(settings), "--output=name"], SLACK, prints="nothing"),
    ]


def _cleanup(settings: Settings) -> list[Step]:
    """Return the steps that uninstall a release that may exist."""
    return _uninstall(settings, "--ignore-not-found")


def _uninstall(settings: Settings, *options: str) -> list[Step]:
    """Return the steps that uninstall the release, and wait until LeaderWorkerSet's objects are gone."""
    until, limit = f"--timeout={settings.wait}s", settings.wait + SLACK
    own = ["helm", "uninstall", settings.release, *_namespace(settings), *options, "--wait", until]
    return [Step(own, limit), Step(["kubectl", "wait", "--for=delete", *_made(settings), until], limit)]


def _made(settings: Settings) -> list[str]:
    label = f"{NAME}={settings.release}"
    return [MADE_KINDS, "--selector", label, *_namespace(settings)]


def _selected(settings: Settings) -> list[str]:
    return ["--selector", f"{INSTANCE}={settings.release}", *_namespace(settings)]


def _explain(settings: Settings) -> list[Step]:
    return [
        Step(["kubectl", "get", "pods", *_namespace(settings), "--output=wide"], SLACK),
        Step(["kubectl", "get", "events", *_namespace(settings), "--sort-by=.lastTimestamp"], SLACK),
    ]


def refusal(step: Step, output: str) -> str:
    """Return why the output of a command is wrong, empty when it is right."""
    words = output.split()
    if step.prints == "nothing" and words:
        return f"left behind: {', '.join(words)}"
    if step.prints == "same" and (len(words) < 2 or len(set(words)) > 1):
        return f"desired and ready groups differ: {output.strip() or 'none found'}"
    return ""


def _ct_options(settings: Settings) -> list[str]:
    config = ["--config", str(settings.config)] if settings.config else []
    return [*config, "--charts", str(settings.chart)]
