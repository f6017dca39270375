"""What is asked of a group, and the answer: seconds and tokens per second, each with low, expected, and high."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.memory.activation import Band

BOUNDS = ("memory bandwidth", "compute", "all-reduce", "pipeline", "host")
"""What may take most of the time."""


@dataclass(frozen=True)
class Workload:
    """Requests of one size, and how they come; exactly one of ``requests``, ``concurrency``, and ``rate`` is given.

    Attributes:
        prompt: tokens of each prompt.
        answer: tokens of each answer.
        requests: requests that are handed over at once.
        concurrency: requests that are kept running: each answer is followed by the next request.
        rate: requests per second, at random times.
        ttft: target for the time to the first token in seconds, None without a target.
        tpot: target for the time per further token in seconds, None without a target.
        cached: share of each prompt that the prefix cache holds.
        drafts: tokens that multi-token prediction drafts for each step, 0 without it.
        acceptance: share of the drafts that are accepted.
    """

    prompt: int
    answer: int
    requests: int | None = None
    concurrency: int | None = None
    rate: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    cached: float = 0.0
    drafts: int = 0
    acceptance: float = 0.0

    @property
    def has_targets(self) -> bool:
        """Whether a target is given."""
        return self.ttft is not None or self.tpot is not None

    @property
    def new_prompt(self) -> int:
        """Tokens of each prompt that are computed: all but cached ones, at least one."""
        return max(1, self.prompt - int(self.prompt * self.cached))

    @property
    def tokens_per_step(self) -> float:
        """Tokens of an answer that a step yields: draft ``k`` counts if it and all drafts before it are accepted."""
        return 1.0 + sum(self.acceptance**number for number in range(1, self.drafts + 1))

    @property
    def steps(self) -> float:
        """Steps of an answer after its first token."""
        return (self.answer - 1) / self.tokens_per_step


@dataclass(frozen=True)
class Speed:
    """How fast a layout does a workload.

    Attributes:
        workload: what is asked.
        first: seconds to the first token, on average over the requests.
        each: seconds per further token of a request, on average.
        rate: tokens of answers per second in all.
        makespan: with ``requests``, seconds until the last of them is done; otherwise None.
        bound_by: what takes most of the time, one of ``BOUNDS``.
        running: requests that run at once.
        gpus: GPUs of the layout.
        calibrated: whether a GPU, link, and model of this kind was measured.
        notes: what the numbers leave out or rest on.
        overloaded: whether requests come faster than the layout can serve them.
    """

    workload: Workload
    first: Band
    each: Band
    rate: Band
    makespan: Band | None
    bound_by: str
    running: float
    gpus: int
    calibrated: bool
    notes: tuple[str, ...] = ()
    overloaded: bool = False

    @property
    def rate_per_gpu(self) -> float:
        """Expected tokens of answers per second and GPU."""
        return self.rate.expected / self.gpus

    def holds(self, end: str = "expected") -> bool:
        """Return whether the targets hold at one end of the bands (``expected`` or ``high``); true without targets."""
        workload = self.workload
        if self.overloaded:
            return False
        first, each = getattr(self.first, end), getattr(self.each, end)
        too_late = workload.ttft is not None and first > workload.ttft
        return not too_late and (workload.tpot is None or each <= workload.tpot)


def asked(workload: Workload) -> str:
    """Return a workload in words."""
    what = f"{workload.prompt:,} prompt tokens and {workload.answer:,} answer tokens per request"
    if workload.requests is not None:
        how = f"{workload.requests:,} requests at once"
    elif workload.concurrency is not None:
        how = f"{workload.concurrency:,} requests kept running"
    else:
        how = f"{workload.rate:g} requests per second"
    more = f", {workload.cached:.0%} of each prompt cached" if workload.cached else ""
    more += (
        f", {workload.drafts} drafted tokens per step of which {workload.acceptance:.0%} are accepted"
        if workload.drafts
        else ""
    )
    return f"{what}, {how}{more}"
