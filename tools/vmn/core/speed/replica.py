"""One engine and its schedule: how many requests run at once, and which passes a workload takes.

vLLM computes at most ``--max-num-batched-tokens`` tokens in a step: one for each running request, and prompts with what
is left. A workload is therefore a number of mixed passes, in which prompts are computed, and of decoding passes. Passes
of one kind change slowly, so that their sum follows from a few of them (Simpson's rule).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vmn.core.speed.factors import Factors
from vmn.core.speed.hardware import Link
from vmn.core.speed.passes import Formula, ModelWork, Parts, Pass
from vmn.core.speed.workload import Workload


@dataclass(frozen=True)
class Stages:
    """The pipeline.

    Attributes:
        count: number of stages.
        largest: share of the layers that the largest stage has.
        link: link between stages.
        sent_bytes: bytes for each token that a rank sends to the next stage.
        in_flight: groups of requests that are in the stages at once: one for each stage, and one more with
            asynchronous scheduling, so that each waits for the others between two steps.
    """

    count: int
    largest: float
    link: Link
    sent_bytes: float
    in_flight: int

    @property
    def hops(self) -> int:
        """How often a stage waits in a step for what is sent: a middle stage receives before it computes, and sends.

        vLLM's ranks wait for what they have sent before they compute again, and receive when they have computed.
        """
        return min(2, self.count - 1)

    def hop(self, tokens: float) -> float:
        """Return the seconds of sending some tokens' states to the next stage."""
        return self.link.hop + tokens * self.sent_bytes / self.link.bandwidth


@dataclass(frozen=True)
class Replica:
    """One data-parallel replica of a layout.

    Attributes:
        formula: seconds of a pass.
        model: what a pass reads and computes.
        draft: what drafting one token reads and computes, None without drafts.
        stages: the pipeline.
        tokens: most tokens of a step.
        requests: most requests of a step.
        cache_tokens: tokens of the KV cache of this replica.
    """

    formula: Formula
    model: ModelWork
    draft: ModelWork | None
    stages: Stages
    tokens: int
    requests: int
    cache_tokens: float

    @property
    def factors(self) -> Factors:
        """The fitted numbers."""
        return self.formula.factors

    def most_running(self, workload: Workload) -> float:
        """Return how many requests of a size can run at once, at least one."""
        return max(1.0, min(self.requests, self.cache_tokens // (workload.prompt + workload.answer)))

    def one_pass(self, batch: Pass, sampled: float) -> Parts:
        """Return the seconds of a pass through all stages, one after the other."""
        found = self.formula.pass_parts(self.model, batch, sampled)
        found += Parts(host=self.factors.request_step * (batch.decodes + sampled) / 2)
        if self.draft and batch.decodes:
            one = Pass(decodes=batch.decodes, context=batch.context)
            found += self.formula.pass_parts(self.draft, one, batch.decodes).times(batch.width - 1)
        return found

    def pipelined(self, whole: Parts, groups: list[Parts], tokens: list[float]) -> Parts:
        """Return the time between two steps of the same request, with several groups of requests in the stages.

        Args:
            whole: seconds of the largest group's pass through all stages.
            groups: seconds of each group's pass through all stages.
            tokens: tokens of each group.
        """
        stages = self.stages
        if stages.count == 1:
            return whole
        through = whole.total + (stages.count - 1) * stages.hop(max(tokens)) + self.factors.stage_step
        busy = sum(group.total * stages.largest + self.factors.stage_step for group in groups)
        busy += stages.hops * sum(map(stages.hop, tokens))
        total = max(through, busy)
        shared = whole.times(1 / stages.count)
        return shared + Parts(pipeline=total - shared.total)

    def decode_step(self, workload: Workload, running: float, context: float, groups: list[float]) -> Parts:
        """Return the seconds between two tokens' steps of a request.

        Args:
            workload: what is asked.
            running: requests that decode.
            context: tokens before each of them, on average.
            groups: share of the requests in each group of the pipeline.
        """
        passes = [self.decode_pass(workload, running * share, context) for share in groups]
        largest = max(range(len(groups)), key=lambda index: groups[index])
        tokens = [running * share * (1 + workload.drafts) for share in groups]
        return self.pipelined(passes[largest], passes, tokens)

    def decode_pass(self, workload: Workload, decodes: float, context: float) -> Parts:
        """Return the seconds of a pass of decoding requests, all stages one after the other."""
        width = 1.0 + workload.drafts
        return self.one_pass(Pass(decodes=decodes, context=context, width=width), decodes * width)

    def prompt_pass(self, workload: Workload, tokens: float, decodes: float) -> Parts:
        """Return the seconds of a pass with prompts' tokens and decoding requests, all stages one after the other."""
        new = workload.new_prompt
        reach = workload.prompt - new + new / 2
        context = workload.prompt + workload.answer / 2
        batch = Pass(decodes, context, tokens, tokens * reach, 1.0 + workload.drafts)
        return self.one_pass(batch, decodes * batch.width + tokens / new)


def integral(function: Callable[[float], Parts], begin: float, end: float, count: float) -> Parts:
    """Return the sum of ``count`` values of a function that changes slowly between ``begin`` and ``end``."""
    if count <= 0:
        return Parts()
    middle = function((begin + end) / 2)
    if begin == end:
        return middle.times(count)
    return (function(begin) + middle.times(4) + function(end)).times(count / 6)


def whole_passes(tokens: float, most: float) -> int:
    """Return how many passes of at most ``most`` tokens hold ``tokens``."""
    return max(1, math.ceil(tokens / most - 1e-9))
