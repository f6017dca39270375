"""The step that breaks something, and what it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from gpu.twopods import stages
from gpu.twopods.group import Group
from gpu.twopods.injections import INJECTIONS
from gpu.twopods.plan import Clock, Step
from gpu.twopods.session import Session
from gpu.twopods.traffic import Client, endings, health_changes, served_again

SETTLED = 4
"""Seconds of requests before the fault."""
FREE_LIMIT = 30
"""Seconds for the GPUs' memory to be free after the group's end."""
AFTER = 3
"""Seconds of requests after the group's end."""
LAST = 5
"""Seconds that requests which are still open have then."""
TICK = 0.2
ROWS = 12
"""Requests that the results show one by one; the longest ones are among them."""


def fault(session: Session, step: Step, clock: Clock) -> dict[str, Any]:
    """``fault kill worker rank``: inject it while requests come, and watch until the group has ended.

    Settings: ``load``: ``steady`` (a request every ``period=0.5`` s), ``busy`` (``open=64`` requests in addition), or
    ``idle`` (the first request comes after the fault); ``answer=100`` tokens of each; ``watch=120`` seconds to watch a
    group that goes on; ``undo=30`` seconds after which the fault is undone; ``expect=serves`` if the group must go on;
    ``until=served`` to watch a group that goes on only until a request that was sent after a failed one succeeds.
    """
    group, load = session.group, step.settings.get("load", "steady")
    health = Client(group, "health", period=1, limit=5)
    clients = [] if load == "idle" else _traffic(session, step, load)
    time.sleep(SETTLED)
    if not group.whole:
        raise LookupError("a container has ended before the fault")
    moment = time.monotonic()
    undo = INJECTIONS[step.words[0]](group, *step.words[1:])
    if load == "idle":
        time.sleep(1)
        clients = _traffic(session, step, load)
    watched = clients if step.settings.get("until") == "served" else []
    undone = _watch(session, step, clock.within(step.number("watch", 120)), moment, undo, watched)
    for client in clients:
        client.stop(min(LAST, max(clock.left, 1)))
    found = {"load": load, "undone": undone, **_seen(session, moment, clients, health)}
    session.keep_objects(f"{step.text}: at the end", group)
    expected = group.whole if step.settings.get("expect") == "serves" else not group.running
    return {"ok": expected, **found}


def _seen(session: Session, moment: float, clients: Sequence[Client], health: Client) -> dict[str, Any]:
    """Return what a fault did, with times in seconds from its moment."""
    group = session.group
    records = [record for client in clients for record in client.records]
    return {
        "notes": group.notes,
        "injected": round(moment - group.created_at, 1),
        "requests": shortened(endings(records, moment)),
        "served_again": served_again(records, moment),
        "health": health_changes(health.stop(6), moment),
        "pods": describe_pods(group, moment),
        "deleted": None if group.deleted_at is None else round(group.deleted_at - moment, 1),
        "gpu_memory_free": None if group.running else _memory_free(session, moment),
        "watched": round(time.monotonic() - moment, 1),
    }


def _traffic(session: Session, step: Step, load: str) -> list[Client]:
    """Start the clients of a load."""
    prompt, answer = int(step.number("prompt", 64)), int(step.number("answer", 100))
    session.seed += 1
    limit = {"limit": step.number("limit", 600), "seed": session.seed}
    found = [Client(session.group, "steady", period=step.number("period", 0.5), prompt=prompt, answer=answer, **limit)]
    if load == "busy":
        many = int(step.number("open", 64))
        tokens = int(step.number("busy-answer", 4000))
        limit["seed"] = session.seed = session.seed + 1
        found.append(Client(session.group, "bench", requests=many, prompt=prompt, answer=tokens, **limit))
    return found


def _watch(
    session: Session, step: Step, clock: Clock, moment: float, undo: Any, clients: Sequence[Client]
) -> float | None:
    """Watch until the group has ended, or time is over; keep what the doctor reads when something can be seen.

    Args:
        session: of the group.
        step: with its settings.
        clock: the time for it.
        moment: of the fault.
        undo: undoes the fault.
        clients: whose requests end the watch when they succeed again; none for the whole time.

    Returns:
        seconds until the fault was undone, None if it was not, because the group ended.
    """
    group = session.group
    undo_after, undone = step.number("undo", 1e9), None
    seen: set[str] = set()
    while group.running and clock.left > 0:
        since = time.monotonic() - moment
        if undone is None and since >= undo_after:
            undo()
            undone = round(since, 1)
        states = {
            "30 s later": since > 30,
            "unready": not group.ready,
            "the first container has ended": not group.whole,
        }
        for name in states:
            if states[name] and name not in seen:
                seen.add(name)
                session.keep_objects(f"{step.text}: {name}", group)
        if served_again([record for client in clients for record in list(client.records)], moment) is not None:
            break
        time.sleep(TICK)
    if group.running and undone is None:
        undo()
        undone = round(time.monotonic() - moment, 1)
    elif undone is None:
        undo()  # such as a process that holds memory
    if not group.running:
        time.sleep(min(AFTER, max(clock.left, 0)))
    return undone


def _memory_free(session: Session, moment: float) -> float | None:
    """Return when the GPUs' memory was free, in seconds from a moment, None if it was not, or there is no GPU."""
    until = time.monotonic() + FREE_LIMIT
    while session.memory_before and time.monotonic() < until:
        if session.memory_free():
            return round(time.monotonic() - moment, 1)
        time.sleep(1)
    return None


def shortened(found: dict[str, Any]) -> dict[str, Any]:
    """Return what became of requests with fewer of them: the longest ones, the first and the last."""
    rows = found["rows"]
    longest = sorted(rows, key=lambda row: -row["lasted"])[: ROWS // 2]
    kept = [row for row in rows if row in longest or row in rows[: ROWS // 4] or row in rows[-ROWS // 4 :]]
    how: dict[str, int] = {}
    for row in rows:
        kind = f"status {row.get('status')}, finish {row.get('finish')}, error {str(row.get('error'))[:80]}"
        kind += f", [DONE] {row.get('done', False)}"
        how[kind] = how.get(kind, 0) + 1
    return {**found, "how": how, "rows": kept}


def describe_pods(group: Group, moment: float) -> dict[str, Any]:
    """Return how each pod ended, and what its PID 1 said, with times in seconds from a moment."""
    found: dict[str, Any] = {}
    for kubelet in group.kubelets:
        container = kubelet.container
        lines = list(container.log.lines)
        one: dict[str, Any] = {"running": container.running()}
        if ended := container.ended:
            one |= {"ended": round(ended.at - moment, 1), "exit": ended.status, "message": ended.message}
        one |= stages.narration(lines, moment)
        one["events"] = [
            f"{event.first - moment:.1f} s: {event.reason} x{event.count}: {event.message[:200]}"
            for event in kubelet.events
        ]
        found[container.pod.role] = one
    return found
