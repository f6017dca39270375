"""Running the items of ``vmn install-test``, and finding the chart to upgrade from."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vmn.adapters.previous_chart import IN_CHECKOUT, unpacked, upgrades, why_not_from_git
from vmn.adapters.programs import Done, MissingError, run
from vmn.core.cluster.lws import CRD
from vmn.core.install_test import Item, ItemResult, Settings, Step, refusal
from vmn.core.reporting import Say

OUTPUT_SHOWN = 60
"""Lines of a failed command's output that are shown."""


def check_cluster() -> None:
    """Check that the cluster of KUBECONFIG answers, and that LeaderWorkerSet is installed.

    Raises:
        MissingError: the cluster does not answer, or LeaderWorkerSet is not installed.
    """
    done = run(["kubectl", "get", "customresourcedefinitions", CRD, "--request-timeout=10s", "--output=name"], 30)
    if done.code == 0:
        return
    if "NotFound" in done.stderr:
        raise MissingError("LeaderWorkerSet is not installed on the cluster. Install LWS first.")
    reason = (done.stderr.strip().splitlines() or ["kubectl failed without a message."])[-1]
    raise MissingError(f"No cluster answers: {reason} Set KUBECONFIG, or start a local cluster with `make cluster-up`.")


def run_items(items: Iterable[Item], last: Iterable[Step], say: Say, jobs: int = 1) -> list[ItemResult]:
    """Run all items even after one failed, and the last steps even after an interrupt.

    Args:
        items: what to run.
        last: what to run at the end in any case.
        say: takes lines about what runs: at once, or, with several jobs, those of an item when it has ended.
        jobs: number of items that run at the same time.
    """
    results: list[ItemResult] = []
    try:
        if jobs == 1:
            for item in items:
                results.append(run_item(item, say))
        else:
            results = _run_at_once(items, say, jobs)
    finally:
        for step in last:
            if problem := run_step(step, say):
                results.append(ItemResult("clean-up", problem, 0.0))
    return results


def _run_at_once(items: Iterable[Item], say: Say, jobs: int) -> list[ItemResult]:
    """Run several items at the same time. After an interrupt, those that have begun run only their clean-up."""
    interrupted = threading.Event()

    def run_one(item: Item) -> ItemResult:
        lines: list[str] = []
        result = run_item(item, lines.append, interrupted)
        say("\n".join(lines))
        return result

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return [one.result() for one in [pool.submit(run_one, item) for item in items]]
        except BaseException:
            interrupted.set()
            pool.shutdown(cancel_futures=True)
            raise


def run_item(item: Item, say: Say, interrupted: threading.Event | None = None) -> ItemResult:
    """Run the steps of an item; after a failure or an interrupt, explain it, and clean up."""
    say(f"==> {item.name}")
    start = time.monotonic()
    problem, ended = "", False
    try:
        for step in item.steps:
            problem = "interrupted" if interrupted and interrupted.is_set() else run_step(step, say)
            if problem:
                say(f"    FAILED: {problem}")
                _show(item.explain, say)
                break
        ended = not problem
    finally:
        for step in () if ended else item.cleanup:  # the last steps have removed the release, and looked for the rest
            late = run_step(step, say)
            problem = problem or (f"clean-up: {late}" if late else "")
    seconds = time.monotonic() - start
    say(f"<== {item.name}: {'FAILED' if problem else 'passed'} in {seconds:.0f} s")
    return ItemResult(item.name, problem, seconds)


def run_step(step: Step, say: Say) -> str:
    """Run a command, and return what is wrong, empty when nothing is."""
    say(f"    $ {shlex.join(step.command)}")
    done = run(step.command, step.limit, folder=step.folder)
    if done.code == 0:
        return refusal(step, done.stdout)
    for line in _tail(done):
        say(f"      {line}")
    lines = done.stderr.strip().splitlines() or [f"exit status {done.code}"]
    return f"{' '.join(step.command[:2])}: {lines[-1]}"


def _show(steps: Sequence[Step], say: Say) -> None:
    for step in steps:
        say(f"    $ {shlex.join(step.command)}")
        for line in _tail(run(step.command, step.limit)):
            say(f"      {line}")


def _tail(done: Done) -> list[str]:
    return [*done.stdout.splitlines(), *done.stderr.splitlines()][-OUTPUT_SHOWN:]


def with_previous_chart(settings: Settings, given: Path | None, work: Path, say: Say) -> Settings:
    """Return settings with a chart to upgrade from.

    Args:
        settings: settings without one.
        given: the previous chart as the user names it: a directory or an archive; the checkout's own archive if None.
        work: a directory for an unpacked archive.
        say: takes lines about the choice.

    Raises:
        MissingError: no chart is given, and the checkout has none.
    """
    root = settings.chart.resolve().parent.parent
    why = why_not_from_git(root, settings.config) if settings.config else f"{root} has no ct.yaml"
    if why:
        say(f"ct install runs without --upgrade: {why}. The ci values are upgraded from the previous chart instead.")
    source = given or root / IN_CHECKOUT
    if not source.exists():
        raise MissingError(f"The previous chart {source} does not exist. Name one with --previous.")
    say(f"The previous chart is {source}.")
    chart = source if source.is_dir() else unpacked(source, work)
    pairs = upgrades(settings.chart, chart, settings.values_files)
    return replace(settings, previous=chart, upgrades=pairs, git_root=None if why else root)
