"""Runs a plan: each scenario within its limit, results after each step, and nothing left at the end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from gpu.twopods import machine as host
from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.machine import Machine
from gpu.twopods.network import UNSHARE
from gpu.twopods.plan import Clock, OutOfTime, Scenario, Step
from gpu.twopods.processes import children
from gpu.twopods.results import Results
from gpu.twopods.session import Session
from gpu.twopods.steps import STEPS

LEAST = 5
"""Seconds without which a scenario does not begin."""
INNER = "TWOPODS_INNER"
"""Set in the process that runs the plan; see ``in_own_namespaces``."""
DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
SLACK = 15
"""Seconds after the deadline in which the run must have ended by itself."""


def run_plan(
    scenarios: Sequence[Scenario],
    groups: Mapping[str, GroupSpec],
    machine: Machine,
    results: Results,
    seconds: float,
) -> int:
    """Run scenarios one after the other, and return how many steps were not as they should be.

    Args:
        scenarios: of the plan.
        groups: by name.
        machine: the host.
        results: where they go.
        seconds: for all.
    """
    clock, numbers = Clock(time.monotonic() + seconds), [0]
    machine.prepare()
    results.content = {"machine": host.describe(), "seconds": seconds, "scenarios": []}
    for scenario in scenarios:
        entry: dict[str, Any] = {"name": scenario.name, "group": scenario.group, "steps": []}
        results.content["scenarios"].append(entry)
        results.save()
        if clock.left < LEAST:
            entry["error"] = "left out: no time"
            continue
        session = Session(scenario, groups[scenario.group], machine, results, numbers)
        try:
            _run_scenario(session, clock.within(scenario.limit), entry)
        finally:
            session.close()
            results.save()
    results.content["took"] = round(time.monotonic() - results.begun, 1)
    results.save()
    bad = [entry["name"] for entry in results.content["scenarios"] if "error" in entry or not _good(entry)]
    results.say(f"not as they should be: {', '.join(bad)}" if bad else "all as it should be")
    return len(bad)


def _good(entry: Mapping[str, Any]) -> bool:
    return all(step["ok"] for step in entry["steps"])


def _run_scenario(session: Session, clock: Clock, entry: dict[str, Any]) -> None:
    """Run the steps of a scenario; it ends early when a step fails and leaves no whole group."""
    for step in session.scenario.steps:
        session.say(f"{session.scenario.name}: {step.text}")
        begin = time.monotonic()
        done: dict[str, Any] = {"step": step.text, "ok": False}
        entry["steps"].append(done)
        try:
            done.update(_run_step(session, step, clock))
        except Exception as error:  # whatever it is, the results so far must be kept
            done["error"] = entry["error"] = f"{type(error).__name__}: {error}"
            session.say(f"  {done['error'][:600]}")
            if isinstance(error, OutOfTime) or not session.whole:
                return
            done["trace"] = traceback.format_exc()[-2000:]
        finally:
            session.end_clients()
            done["took"] = round(time.monotonic() - begin, 1)
            session.results.save()
        if "error" not in done:
            session.say(f"  {_brief(done)}")
        if not done["ok"] and step.verb == "start":
            return


def _run_step(session: Session, step: Step, clock: Clock) -> dict[str, Any]:
    """Run a step.

    Raises:
        LookupError: the step does not exist.
        OutOfTime: its time is over.
    """
    if step.verb not in STEPS:
        raise LookupError(f"no step {step.verb!r}: there are {', '.join(STEPS)}")
    clock.check(step.text)
    return STEPS[step.verb](session, step, clock.within(step.number("limit", 1e9)))


def _brief(done: Mapping[str, Any]) -> str:
    """Return a step's numbers and words, without what is long."""
    shown = {key: value for key, value in done.items() if isinstance(value, int | float | str) and len(str(value)) < 80}
    shown |= {key: done[key] for key in ("health",) if key in done}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if key != "step")[:700]


def in_own_namespaces(seconds: float) -> int:
    """Run this command again as PID 1 of a process and mount namespace; return its exit status.

    Whatever it starts and mounts is gone when it ends, however it ends; it is killed when it takes longer than it may.
    """
    signals = (signal.SIGTERM, signal.SIGINT)
    command = [UNSHARE, "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--", sys.executable, *_again()]
    process = subprocess.Popen(
        command, env={**os.environ, INNER: "1"}, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent
    )

    def pass_on(*_: object) -> None:  # to PID 1, as unshare itself ignores it
        for number in children(process.pid):
            os.kill(number, signal.SIGTERM)

    for sign in signals:
        signal.signal(sign, pass_on)
    try:
        return process.wait(seconds + SLACK)
    except subprocess.TimeoutExpired:
        print("twopods: the run did not end in time, and is killed", flush=True)
        return 124
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _again() -> list[str]:
    return ["-m", "gpu.twopods", *sys.argv[1:]]


def is_inner() -> bool:
    """Return whether this is the process that runs the plan, in namespaces of its own; see ``in_own_namespaces``."""
    if os.environ.get(INNER) != "1":
        return False
    if os.getpid() == 1:
        reap_for(os.fork())
    signal.signal(signal.SIGTERM, _end)
    return True


def _end(*_: object) -> None:
    raise SystemExit(143)


def reap_for(child: int) -> None:
    """As PID 1, wait for all processes that lose their parents, until a child has ended, and end as it did.

    A namespace of a container ends only when somebody has waited for all of its processes, also for those of a probe
    that was killed.
    """
    if child == 0:
        return
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        number, status = os.wait()
        if number == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
