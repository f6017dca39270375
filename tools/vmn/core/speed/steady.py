"""Requests that keep coming: a number that is kept up, or a rate."""

from __future__ import annotations

from vmn.core.speed.at_once import Times
from vmn.core.speed.passes import Parts
from vmn.core.speed.replica import Replica, integral, whole_passes
from vmn.core.speed.workload import Workload

ACCURACY = 0.01
ROUNDS = 8
"""Rounds in which the number of running requests is found; each divides the error by about 4."""
NEARLY_FULL = 0.97
"""Share of the highest rate from which the queue is too long to predict."""


def kept_up(replica: Replica, workload: Workload, concurrency: float) -> Times:
    """Return the times while a number of requests is kept up; some may wait in the queue."""
    running = min(concurrency, replica.most_running(workload))
    life, first, each = _life(replica, workload, running)
    wait = life.total * (concurrency - running) / running
    return Times(life, first + wait, each, running)


def at_rate(replica: Replica, workload: Workload, rate: float) -> tuple[Times, bool]:
    """Return the times when requests come at a rate, and whether the engine can't keep up with it."""
    most = replica.most_running(workload)
    fullest = kept_up(replica, workload, most)
    highest = most / fullest.total.total
    if rate >= highest * NEARLY_FULL:
        return fullest, True
    running = _running(replica, workload, rate, most)
    life, first, each = _life(replica, workload, running)
    load = rate / highest
    wait = load / (1 - load) / 2 * first
    return Times(life, first + wait, each, running), False


def _running(replica: Replica, workload: Workload, rate: float, most: float) -> float:
    """Return how many requests run at once on average: the rate times a request's life (Little's law)."""
    running = 1.0
    for _ in range(ROUNDS):
        life, _, _ = _life(replica, workload, max(1.0, running))
        wanted = rate * life.total
        if abs(wanted - running) <= ACCURACY * running:
            break
        running = min(most, wanted)
    return max(running, rate * workload.answer * 1e-9)


def _life(replica: Replica, workload: Workload, running: float) -> tuple[Parts, float, float]:
    """Return the seconds of a request from its first pass to its last token, to the first, and for each further one.

    While a request lives, each of the others begins once: its prompt is computed in passes in which all others decode.
    """
    new, steps = float(workload.new_prompt), workload.steps
    groups = [1 / replica.stages.count] * replica.stages.count if running >= replica.stages.count else [1.0]
    room = max(1.0, replica.tokens - running * (1 + workload.drafts))
    own = whole_passes(new, room)
    passes = max(1.0, min(running * own, max(steps, running * new / room)))
    tokens = running * new / passes
    mixed = replica.prompt_pass(workload, tokens, max(0.0, running - 1))
    mixed = replica.pipelined(mixed.times(1.0), [mixed] * len(groups), tokens)
    if len(groups) > 1:  # passes with prompts go through the stages one behind the other
        mixed = mixed.times(1 / len(groups))
    begin, end = workload.prompt + 1, workload.prompt + workload.answer

    def step(context: float) -> Parts:
        return replica.decode_step(workload, running, context, groups)

    plain = max(0.0, steps - max(0.0, passes - own))
    decoding = integral(step, begin, end, plain)
    prompts = mixed.times(passes)
    call = Parts(host=replica.factors.call + replica.factors.prompt_token * workload.prompt)
    first = mixed.total * own + decoding.total / max(1.0, plain) / 2 * (running > 1) + call.total
    life = prompts + decoding + call
    each = max(0.0, life.total - call.total - mixed.total * own) / max(1, workload.answer - 1)
    return life, first, each
