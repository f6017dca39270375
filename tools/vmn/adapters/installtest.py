"""Running the items of ``vmn install-test``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vmn.adapters.programs import Done, MissingError, run
from vmn.core.install_test import Item, Step, refusal

Say = Callable[[str], None]
OUTPUT_SHOWN = 60
"""Lines of a failed command's output."""


@dataclass(frozen=True)
class Result:
    """How an item went; no problem means that it went well."""

    item: str
    problem: str
    seconds: float


def check_cluster() -> None:
    """Check that the cluster of KUBECONFIG answers and knows LeaderWorkerSets.

    Raises:
        MissingError: it does not.
    """
    name = "leaderworkersets.leaderworkerset.x-k8s.io"
    done = run(["kubectl", "get", "customresourcedefinitions", name, "--request-timeout=10s", "--output=name"], 30)
    if done.code == 0:
        return
    if "NotFound" in done.stderr:
        raise MissingError("The cluster has no LeaderWorkerSet: install LWS first.")
    said = (done.stderr.strip().splitlines() or ["kubectl failed and said nothing"])[-1]
    raise MissingError(f"No cluster answers: {said} Set KUBECONFIG, or start a local cluster with `make cluster-up`.")


def run_items(items: Iterable[Item], last: Iterable[Step], say: Say) -> list[Result]:
    """Run all items, also after one failed, and what is done at the end, also when it comes early."""
    results: list[Result] = []
    try:
        for item in items:
            results.append(run_item(item, say))
    finally:
        for step in last:
            if problem := run_step(step, say):
                results.append(Result("clean-up", problem, 0.0))
    return results


def run_item(item: Item, say: Say) -> Result:
    """Run one item's steps up to the first failure, explain that, and clean up."""
    say(f"==> {item.name}")
    start = time.monotonic()
    problem = ""
    try:
        for step in item.steps:
            problem = run_step(step, say)
            if problem:
                say(f"    FAILED: {problem}")
                _show(item.explain, say)
                break
    finally:
        for step in item.cleanup:
            late = run_step(step, say)
            problem = problem or (f"clean-up: {late}" if late else "")
    seconds = time.monotonic() - start
    say(f"<== {item.name}: {'FAILED' if problem else 'passed'} in {seconds:.0f} s")
    return Result(item.name, problem, seconds)


def run_step(step: Step, say: Say) -> str:
    """Run a command; return what is wrong, or nothing."""
    say(f"    $ {shlex.join(step.command)}")
    done = run(step.command, step.limit, folder=step.folder)
    if done.code == 0:
        return refusal(step, done.stdout)
    for line in _tail(done):
        say(f"      {line}")
    said = done.stderr.strip().splitlines() or [f"exit status {done.code}"]
    return f"{' '.join(step.command[:2])}: {said[-1]}"


def _show(steps: Sequence[Step], say: Say) -> None:
    for step in steps:
        say(f"    $ {shlex.join(step.command)}")
        for line in _tail(run(step.command, step.limit)):
            say(f"      {line}")


def _tail(done: Done) -> list[str]:
    return [*done.stdout.splitlines(), *done.stderr.splitlines()][-OUTPUT_SHOWN:]
