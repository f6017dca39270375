"""Requests that keep coming: a number that is kept up, or a rate."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.speed.at_once import Times
from vmn.core.speed.passes import Parts
from vmn.core.speed.replica import Replica, whole_passes
from vmn.core.speed.workload import Workload

QUEUED = 0.28
"""Share of the prompts of all running requests, on average, that a request finds in front of it: between none, if
requests come one by one, and all, if they begin together. Fitted on 336 public measurements of servers on H200
(aiconfigurator's ``silicon_sample.csv`` at 095f58a)."""
ACCURACY = 0.01
"""Share to which the number of running requests is found."""
ROUNDS = 8
"""Most rounds in which it is found; near the highest rate each of them changes little."""
NEARLY_FULL = 0.97
"""Share of the highest rate from which the queue is too long to predict."""


def kept_up(replica: Replica, workload: Workload, concurrency: float) -> Times:
    """Return the times while a number of requests is kept up; some may wait in the queue."""
    running = min(concurrency, replica.most_running(workload))
    life = _life(replica, workload, running, QUEUED)
    wait = life.total.total * (concurrency - running) / running
    return Times(life.total, life.first + wait, life.each, running)


def at_rate(replica: Replica, workload: Workload, rate: float) -> tuple[Times, bool]:
    """Return the times when requests come at a rate, and whether the engine can't keep up with it."""
    most = replica.most_running(workload)
    fullest = kept_up(replica, workload, most)
    highest = most / fullest.total.total
    if rate >= highest * NEARLY_FULL:
        return fullest, True
    running = _running(replica, workload, rate, most)
    life = _life(replica, workload, running, 0.0)
    load = rate / highest
    wait = load / (1 - load) / 2 * life.first
    return Times(life.total, life.first + wait, life.each, running), False


def _running(replica: Replica, workload: Workload, rate: float, most: float) -> float:
    """Return how many requests run at once on average: the rate times a request's life (Little's law)."""
    running = 1.0
    for _ in range(ROUNDS):
        wanted = rate * _life(replica, workload, max(1.0, running), 0.0).total.total
        if abs(wanted - running) <= ACCURACY * running:
            break
        running = min(most, wanted)
    return running


@dataclass(frozen=True)
class _Life:
    """A request's life in a steady state.

    Attributes:
        total: seconds from its first pass to its last token.
        first: seconds to its first token.
        each: seconds per further token.
    """

    total: Parts
    first: float
    each: float


def _life(replica: Replica, workload: Workload, running: float, queued: float) -> _Life:
    """Return a request's life, in which each of the others begins once.

    Each round gives every request a step; the groups of a pipeline pass one behind the other. Some passes also compute
    prompts.

    Args:
        replica: the replica.
        workload: what is asked.
        running: requests that run at once.
        queued: share of the other prompts in front of a request when it comes, 0 if all come one by one.
    """
    new, steps = float(workload.new_prompt), max(1.0, workload.steps)
    groups = min(float(replica.stages.in_flight), max(1.0, running))
    decodes = running / groups
    room = max(1.0, replica.tokens - decodes * (1 + workload.drafts))
    own = whole_passes(new, room)
    fewest = max(1.0, running * new / room)
    passes = max(fewest, min(running * own, groups * steps))
    rounds = max(steps, passes / groups)
    share = passes / (groups * rounds)
    tokens = running * new / passes
    mixed = replica.prompt_pass(workload, tokens, decodes * max(0.0, running - 1) / max(1.0, running))
    plain = replica.decode_pass(workload, decodes, workload.prompt + workload.answer / 2)
    average = mixed.times(share) + plain.times(1 - share)
    count = round(groups)
    round_ = replica.pipelined(average, [average] * count, [decodes + share * tokens] * count)
    call = Parts(host=replica.factors.call + replica.factors.prompt_token * workload.prompt)
    wait = round_.total / 2 * (running > 1)
    if queued and fewest > own:
        full = replica.prompt_pass(workload, room, decodes / 2).total
        wait += queued * (fewest - own) / 2 * full / groups
    first = mixed.total * own + wait + call.total
    each = round_.total * steps / max(1, workload.answer - 1)
    return _Life(round_.times(rounds) + call, first, each if workload.answer > 1 else 0.0)
