"""A number of requests that are handed over at once, until the last of them is done."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.speed.passes import Parts
from vmn.core.speed.replica import Replica, integral, whole_passes
from vmn.core.speed.workload import Workload

ARRIVED = 8
"""Requests that have arrived when the second pass of a pipeline begins, fitted on 14 calls of two stages."""


@dataclass(frozen=True)
class Times:
    """What a workload takes on one replica.

    Attributes:
        total: seconds from the first request to the last answer, or of a request's life in a steady state.
        first: seconds to the first token, on average.
        each: seconds per further token, on average.
        running: requests that run at once.
    """

    total: Parts
    first: float
    each: float
    running: float


def at_once(replica: Replica, workload: Workload, requests: float) -> Times:
    """Return the times of requests that come together; the others wait for these to end."""
    most = replica.most_running(workload)
    running = min(requests, most)
    begin = Parts(host=replica.factors.call + replica.factors.prompt_token * workload.prompt * requests)
    found = _wave(replica, workload, running)
    waves, rest = divmod(requests, running)
    total, first = begin + found.total.times(waves), found.first
    if rest:
        total += _wave(replica, workload, rest).total
    wait = found.total.total * (requests - running) / (2 * running)
    return Times(total, begin.total + first + wait, found.each, running)


def _wave(replica: Replica, workload: Workload, running: float) -> Times:
    """Return the times of requests that run at the same time."""
    chunks = _chunks(replica, workload, running)
    steps = workload.steps
    prompts, passes = _prompts(replica, workload, running, chunks, steps)
    tail = min(steps, float(len(chunks) - 1))
    shares = _groups(replica, chunks)
    prompt, answer = workload.prompt, workload.answer

    def step(count: float, context: float) -> Parts:
        return replica.decode_step(workload, count, context, shares)

    decoding = integral(lambda context: step(running, context), prompt + 1, prompt + answer, steps - tail)
    if tail:
        left = running * (1 + 1 / len(chunks)) / 2
        decoding += step(left, prompt + answer).times(tail)
    first = prompts.total * (len(chunks) + 1) / (2 * len(chunks))
    mixed = min(steps, (len(chunks) - 1) / 2)
    each = prompts.total / passes * mixed
    if steps > mixed:
        each += step(running, prompt + answer / 2).total * (steps - mixed)
    return Times(prompts + decoding, first, each / max(1, workload.answer - 1), running)


def _chunks(replica: Replica, workload: Workload, running: float) -> list[float]:
    """Return the tokens of the passes that compute prompts.

    The first request is scheduled before the others have arrived. A pipeline takes the second pass at once, too, with
    the few that have arrived by then.
    """
    new, most = float(workload.new_prompt), float(replica.tokens)
    found = [min(new, most)]
    left = running * new - found[0]
    if replica.stages.count > 1 and left > 0:
        found.append(min(left, most, ARRIVED * new))
        left -= found[-1]
    if left <= 0:
        return found
    count = whole_passes(left, most)
    return [*found, *[most] * (count - 1), left - (count - 1) * most]


def _prompts(
    replica: Replica, workload: Workload, running: float, chunks: list[float], steps: float
) -> tuple[Parts, int]:
    """Return the seconds of the passes that compute prompts, and their number."""
    count, new = len(chunks), float(workload.new_prompt)

    def decodes(index: float) -> float:
        """Return the requests that decode in a pass: all whose prompts are done, and who want more tokens."""
        done = min(running, (chunks[0] + max(0.0, index - 1) * replica.tokens) / new) if index else 0.0
        return min(done, steps * replica.tokens / new)

    def seconds(index: float, tokens: float) -> Parts:
        return replica.prompt_pass(workload, tokens, decodes(index))

    total = seconds(0, chunks[0])
    if count > 1:
        total += seconds(count - 1, chunks[-1])
        total += integral(lambda index: seconds(index, replica.tokens), 1, count - 2, count - 2)
    stages = replica.stages
    if stages.count > 1:
        most = max(seconds(count - 1, max(chunks)).total, total.total / count)
        spread = (total.total + (stages.count - 1) * most) / stages.count
        sent = stages.hops * sum(map(stages.hop, chunks)) + (stages.count - 1 - stages.hops) * stages.hop(max(chunks))
        shared = total.times(1 / stages.count)
        total = shared + Parts(pipeline=spread - shared.total + sent)
        total += Parts(host=replica.factors.stage_step * count)
    return total, count


def _groups(replica: Replica, chunks: list[float]) -> list[float]:
    """Return the share of the requests in each group of the pipeline.

    Requests stay in the group in which their prompt was computed, so that groups can be uneven.
    """
    groups = [0.0] * min(replica.stages.in_flight, len(chunks))
    for index, tokens in enumerate(chunks):
        groups[index % len(groups)] += tokens
    return [tokens / sum(groups) for tokens in groups]
