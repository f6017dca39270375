"""The steps of a plan, on a group."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from gpu.twopods import stages
from gpu.twopods.faults import describe_pods, fault
from gpu.twopods.plan import Clock, OutOfTime, Step
from gpu.twopods.processes import processor_seconds
from gpu.twopods.session import Session
from gpu.twopods.slowness import slow_down
from gpu.twopods.traffic import Client, endings, figures, whole

GUIDE = {"prompt": "San Francisco is a", "max_tokens": 7, "temperature": 0}
"""The request of the reference guide."""
TICK = 0.1
HEALTH = 0.5
"""Seconds between two questions for /health: the kubelet's probes come every five."""
AGAIN = "vLLM does not start; the next attempt"
"""In the last line of a measurement that failed, after which the container waits and tries again."""
OURS = "vllm-multinode: "
"""Beginning of the chart's own lines."""
SHARE = 32
"""Requests that one process of a client sends: it can't read more than a few thousand tokens per second."""
BUSY = 0.05
"""Share of a processor from which on a process is named."""
SAY = 20
"""Seconds between two lines of a start that goes on."""
Found = dict[str, Any]


def start(session: Session, step: Step, clock: Clock) -> Found:
    """``start cold|warm|bundle``: make the group, and wait until all of its pods are ready.

    ``cold`` empties the caches first, and ``bundle`` too, which then fills them from what ``pack`` wrote.
    ``expect=failure``: the group must end instead. ``expect=any``: either is right.
    """
    how = step.words[0] if step.words else "warm"
    if how != "warm":
        shutil.rmtree(session.caches, ignore_errors=True)
    session.bundle(how == "bundle")
    begun_wall = time.time()
    group = session.new_group()
    group.start(clock.left)
    health = _until_ready(session, clock)
    ready = group.ready
    found: Found = {
        "how": how,
        "ready": ready,
        "health_seconds": health,
        "seconds": round(time.monotonic() - group.created_at, 1),
        "stages": {
            kubelet.container.pod.role: stages.stages(kubelet.container.log.lines, group.created_at)
            for kubelet in group.kubelets
        },
        "written": {
            kubelet.container.pod.role: stages.written_files(kubelet.container.cache, begun_wall)
            for kubelet in group.kubelets
        },
        "gpu_memory": session.gpu_memory(),
        "transports": session.transports(),
    }
    if not ready:
        session.wait_for_end(clock.within(step.number("end", 60)))
        found["pods"] = describe_pods(group, group.created_at)
        session.keep_objects("the group did not start", group)
    expected = {"failure": not ready and not group.running, "any": True}.get(step.settings.get("expect", ""), ready)
    return {"ok": expected, **found}


def _until_ready(session: Session, clock: Clock) -> float | None:
    """Wait until all pods are ready, one has ended, or time is over; return when /health was 200, in seconds."""
    group, told, asked = session.group, time.monotonic(), 0.0
    health = None
    while not group.ready and group.whole and clock.left > 0:
        now = time.monotonic()
        if health is None and now - asked > HEALTH:
            asked = now
            health = round(now - group.created_at, 1) if group.health() == 200 else None
        if now - told > SAY:
            told = now
            session.say("  " + "; ".join(session.last_words()))
        time.sleep(TICK)
    if group.ready and health is None:
        health = round(time.monotonic() - group.created_at, 1)
    return health


def bandwidth(session: Session, step: Step, clock: Clock) -> Found:
    """``bandwidth rate 1gbit``: make the pods of a new group, and run only their init containers; one must measure.

    Words slow the network down before. ``expect=failure``: the measurement must fail.
    """
    group = session.new_group()
    group.plug()
    if step.words:
        group.slowness = slow_down(group.cable, step.words)
    group.initialize(clock.left, lambda one: any(AGAIN in text for _, text in one.log.lines))
    run = [one for one in group.initial if one.pod.container["name"] == "bandwidth"]
    said = {one.pod.role: [text for _, text in one.log.lines if text.startswith(OURS)] for one in run}
    passed = [one.ended is not None for one in run]
    expected = not any(passed) if step.settings.get("expect") == "failure" else all(passed)
    return {"ok": bool(run) and expected, "said": said, "seconds": round(time.monotonic() - group.created_at, 1)}


def test(session: Session, step: Step, clock: Clock) -> Found:
    """``test``: run what ``helm test`` runs."""
    status, output = session.group.test(min(clock.left, step.number("limit", 120)))
    return {"ok": status == 0, "status": status, "output": output[-2000:]}


def ask(session: Session, step: Step, clock: Clock) -> Found:
    """``ask``: send the guide's request; ``expect=TEXT`` is the answer's text, ``expect=same`` that of the last one."""
    client = Client(session.group, "ask", limit=min(clock.left, 60), **GUIDE)
    client.wait(min(clock.left, 70))
    answers = [record for record in client.records if record["kind"] == "answer"]
    if not answers or answers[0]["status"] != 200:
        return {"ok": False, "answer": answers, "error": client.complaint}
    body = answers[0]["body"]
    text, usage = body["choices"][0]["text"], body.get("usage", {})
    expected = step.settings.get("expect", text)
    if expected == "same":
        expected = session.answer
    session.answer = text
    good = expected == text and usage.get("completion_tokens") == GUIDE["max_tokens"]
    return {"ok": good, "text": text, "usage": usage, "seconds": round(answers[0]["seconds"], 3)}


def bench(session: Session, step: Step, clock: Clock) -> Found:
    """``bench 32x512x128``: requests at once, each with prompt and answer tokens; ``times=2`` keeps the best."""
    requests, prompt, answer = step.load()
    runs = []
    for _ in range(int(step.number("times", 1))):
        limit = min(clock.left, step.number("limit", 120))
        session.seed += 1
        load = {"requests": requests, "prompt": prompt, "answer": answer, "processes": max(requests // SHARE, 1)}
        begin, before = time.monotonic(), _used(session)
        client = Client(session.group, "bench", limit=limit, seed=session.seed, **load)
        client.wait(limit + 5)
        busy = _busy(before, _used(session), time.monotonic() - begin)
        runs.append({**figures(client.records, requests, answer), "processors": busy})
        clock.check("more of the bench")
    best = max(runs, key=lambda run: run.get("output_tokens_per_s", 0))
    return {"ok": all(run["failed"] == 0 for run in runs), **best, "runs": [run.get("seconds") for run in runs]}


def _used(session: Session) -> dict[tuple[str, int, str], float]:
    """Return the processor seconds of each process of the group: role, number, and title -> seconds."""
    return {
        (one.container.pod.role, number, title[:60]): processor_seconds(number)
        for one in session.group.kubelets
        for number, title in one.container.processes().items()
    }


def _busy(
    before: Mapping[tuple[str, int, str], float], after: Mapping[tuple[str, int, str], float], seconds: float
) -> dict[str, float]:
    """Return how many processors each process has kept busy, from the busiest on."""
    shares = {key: (used - before[key]) / seconds for key, used in after.items() if key in before}
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return {f"{role} {number} {title}": round(share, 2) for (role, number, title), share in ranked if share > BUSY}


def drain(session: Session, step: Step, clock: Clock) -> Found:
    """``drain 8x512x3000``: delete the group while requests are in flight; each must get its whole answer.

    Only answers that take longer than the preStop hook show vLLM's own drain, which begins with SIGTERM.
    """
    requests, prompt, answer = step.load()
    session.seed += 1
    client = Client(
        *(session.group, "bench"), requests=requests, prompt=prompt, answer=answer, limit=clock.left, seed=session.seed
    )
    until = clock.within(30)
    while sum(record["kind"] == "sent" for record in client.records) < requests and until.left > 0:
        time.sleep(TICK)
    time.sleep(step.number("after", 0.5))
    moment, open_then = time.monotonic(), client.open()
    session.group.delete()
    client.wait(min(clock.left, 20))
    ended = [record for record in client.records if record["kind"] == "request"]
    lost = requests - sum(whole(record, answer) for record in ended)
    told = session.group.kubelets[0].terminated
    return {
        "ok": lost == 0 and open_then > 0,
        "in_flight": open_then,
        "in_flight_at_sigterm": None if told is None else sum(record["end"] > told for record in ended),
        "lost": lost,
        "requests": endings(client.records, moment),
        "pods": describe_pods(session.group, moment),
    }


def delete(session: Session, step: Step, clock: Clock) -> Found:
    """``delete``: delete the group, as ``helm uninstall`` does, and wait until it is gone."""
    moment = time.monotonic()
    session.group.delete()
    return {"ok": True, "seconds": round(time.monotonic() - moment, 1), "pods": describe_pods(session.group, moment)}


def shape(session: Session, step: Step, clock: Clock) -> Found:
    """``shape delay 1ms rate 25gbit``: slow the network down, until ``unshape``."""
    session.group.slowness = slow_down(session.group.cable, step.words)
    return {"ok": True, "by": session.group.slowness.how}


def unshape(session: Session, step: Step, clock: Clock) -> Found:
    """``unshape``: undo ``shape``."""
    if session.group.slowness:
        session.group.slowness.end()
    session.group.slowness = None
    return {"ok": True}


def pack(session: Session, step: Step, clock: Clock) -> Found:
    """``pack``: pack the nodes' caches into a bundle, as ``vmn cache pack`` does."""
    return {"ok": True, **session.pack()}


def wait(session: Session, step: Step, clock: Clock) -> Found:
    """``wait 10``: wait for some seconds."""
    seconds = float(step.words[0])
    if seconds > clock.left:
        raise OutOfTime(f"no time is left to wait for {seconds:.0f} s")
    time.sleep(seconds)
    return {"ok": session.group.whole}


def processes(session: Session, step: Step, clock: Clock) -> Found:
    """``processes WORD``: a process of each pod has the word in its command line or title."""
    found = {}
    for kubelet in session.group.kubelets:
        titles = kubelet.container.processes().values()
        found[kubelet.container.pod.role] = sorted({title[:200] for title in titles if step.words[0] in title})
    return {"ok": all(found.values()), "processes": found}


STEPS: Mapping[str, Callable[[Session, Step, Clock], Found]] = {
    "start": start,
    "bandwidth": bandwidth,
    "test": test,
    "ask": ask,
    "bench": bench,
    "drain": drain,
    "delete": delete,
    "fault": fault,
    "shape": shape,
    "unshape": unshape,
    "pack": pack,
    "wait": wait,
    "processes": processes,
}
