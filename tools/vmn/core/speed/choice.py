"""The layout and the flags for a goal: most tokens per second, the shortest answer, or the most context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vmn.core.planning.memory.kv_cache import cache_is_fp8
from vmn.core.planning.prediction import PlanContext, Prediction, predict
from vmn.core.planning.vllm.versions import release
from vmn.core.speed.predict import SpeedContext, speed
from vmn.core.speed.workload import Speed, Workload

GOALS = ("throughput", "latency", "context")
STEP_TOKENS = (2048, 4096, 8192, 16384, 32768)
"""Tokens of a step that are tried."""
GRAPH_TOKENS = (768, 1024)
"""Largest CUDA graphs that are tried, above vLLM's own limit."""
WORTH = 0.03
"""Gain from which a flag is set."""
WORTH_LAYOUT = 0.10
"""Gain from which a layout is taken that the planner itself puts behind another; predictions can be off by as much."""
WORTH_8_BITS = 0.10
"""The same for a KV cache in 8 bits, which can change answers."""
SEQS_STEP = 8
"""Requests of a step are a multiple of this, as the sizes of CUDA graphs are."""


@dataclass(frozen=True)
class Setting:
    """A flag that differs from vLLM's default.

    Attributes:
        flag: its name, without dashes.
        value: its value; a mapping becomes JSON.
        reason: why, and what it is expected to bring.
    """

    flag: str
    value: object
    reason: str


@dataclass(frozen=True)
class Variant:
    """A layout with flags.

    Attributes:
        context: what the plan says with these flags.
        prediction: its memory.
        speed: its speed.
    """

    context: SpeedContext
    prediction: Prediction
    speed: Speed


@dataclass(frozen=True)
class Choice:
    """What is best for a goal.

    Attributes:
        goal: one of ``GOALS``.
        variant: the layout and flags.
        settings: the flags that differ from vLLM's defaults.
        before: the layout that the planner takes without a goal, with vLLM's defaults.
    """

    goal: str
    variant: Variant
    settings: Sequence[Setting]
    before: Variant

    @property
    def gain(self) -> float:
        """The expected gain over the layout without a goal, as a share."""
        return merit(self.goal, self.variant) / merit(self.goal, self.before) - 1


def choose(context: SpeedContext, predictions: Sequence[Prediction], workload: Workload, goal: str) -> Choice | None:
    """Return what is best for a goal, None if no layout fits.

    Args:
        context: the plan with the flags that the user gives.
        predictions: its layouts, the planner's best first.
        workload: what is asked.
        goal: one of ``GOALS``.
    """
    fitting = [item for item in predictions if item.is_sure] or [item for item in predictions if item.fits]
    plain = workload if context.plan.batch.drafted else replace(workload, drafts=0, acceptance=0.0)
    variants = [Variant(context, item, speed(context, item, plain)) for item in fitting]
    if not variants:
        return None
    before = variants[0]
    best = max(variants, key=lambda variant: merit(goal, variant))
    if merit(goal, best) < merit(goal, before) * (1 + WORTH_LAYOUT):
        best = before
    search = _Search(goal, best, plain)
    search.try_step_tokens()
    search.try_graphs()
    search.try_small_cache()
    search.try_drafts(workload)
    search.limit_requests()
    return Choice(goal, search.best, search.settings, before)


def merit(goal: str, variant: Variant) -> float:
    """Return how good a variant is for a goal, more is better."""
    mine = variant.speed
    if goal == "context":
        return float(max(1.0, variant.prediction.longest.low) * max(1.0, variant.prediction.tokens.low) ** 0.5)
    if mine.overloaded:
        return mine.rate.expected * 1e-6
    if goal == "latency":
        return 1 / (mine.first.expected + mine.each.expected * (mine.workload.answer - 1))
    return mine.rate.expected if mine.workload.rate is None else 1 / max(mine.each.expected, 1e-9)


@dataclass
class _Search:
    """A search from flag to flag: each is kept if it brings enough."""

    goal: str
    best: Variant
    workload: Workload
    settings: list[Setting] = field(default_factory=list)

    def _variant(self, plan: PlanContext, workload: Workload | None = None, graph: int | None = None) -> Variant | None:
        prediction = predict(plan, self.best.prediction.layout)
        if not prediction.fits or (self.best.prediction.is_sure and not prediction.is_sure):
            return None
        context = replace(self.best.context, plan=plan, graph_tokens=graph or self.best.context.graph_tokens)
        return Variant(context, prediction, speed(context, prediction, workload or self.workload))

    def _keep_best(
        self, tried: Iterator[tuple[object, Variant | None]], flag: str, why: str, worth: float = WORTH
    ) -> bool:
        """Keep the best of some values of a flag, and return whether one brings enough."""
        found = [(value, variant) for value, variant in tried if variant]
        if not found:
            return False
        value, variant = max(found, key=lambda pair: merit(self.goal, pair[1]))
        gain = merit(self.goal, variant) / merit(self.goal, self.best) - 1
        if gain < worth:
            return False
        self.settings.append(Setting(flag, value, f"{why}: {self._words(variant)}"))
        self.best = variant
        return True

    def _words(self, variant: Variant) -> str:
        """Return what a variant is expected to bring over the one before."""
        before, after = self.best, variant
        if self.goal == "context":
            more = after.prediction.tokens.expected / before.prediction.tokens.expected
            return f"{more:.2f} times the tokens in the KV cache"
        if self.goal == "latency" or self.workload.rate is not None:
            less = 1 - merit(self.goal, before) / merit(self.goal, after)
            return f"answers are expected {less:.0%} sooner"
        return f"{merit(self.goal, after) / merit(self.goal, before) - 1:+.0%} tokens per second expected"

    def try_step_tokens(self) -> None:
        """Try other numbers of tokens of a step."""
        plan = self.best.context.plan
        values = (value for value in STEP_TOKENS if value != plan.batch.tokens and value >= plan.batch.requests)
        tried = ((value, self._variant(replace(plan, batch=replace(plan.batch, tokens=value)))) for value in values)
        larger = "how much of the prompts a step computes"
        self._keep_best(iter(tried), "max-num-batched-tokens", larger)

    def try_graphs(self) -> None:
        """Try larger CUDA graphs, where more requests run than they hold."""
        plan, mine = self.best.context.plan, self.best.speed
        running = mine.running / self.best.prediction.layout.data
        if plan.batch.eager or self.goal == "context" or running <= self.best.context.largest_graph:
            return
        tried = ((value, self._variant(plan, graph=value)) for value in GRAPH_TOKENS)
        self._keep_best(tried, "max-cudagraph-capture-size", f"{running:.0f} requests run at once")

    def try_small_cache(self) -> None:
        """Try a KV cache in 8 bits, where the GPU computes in it and nothing else is asked."""
        plan = self.best.context.plan
        if plan.kv_dtype != "auto" or not plan.gpu.fp8 or self.goal == "latency":
            return
        if cache_is_fp8(plan.model, plan.kv_dtype, plan.gpu.capability):
            return
        tried = (("fp8", self._variant(replace(plan, kv_dtype="fp8"))),)
        self._keep_best(iter(tried), "kv-cache-dtype", "half the bytes, answers can differ a little", WORTH_8_BITS)

    def try_drafts(self, asked: Workload) -> None:
        """Try multi-token prediction, where the checkpoint has layers for it and the user says what is accepted."""
        plan = self.best.context.plan
        if not plan.model.draft_layers or plan.batch.drafted or not asked.acceptance or self.goal == "context":
            return
        value = {"method": "mtp", "num_speculative_tokens": asked.drafts}
        why = f"{asked.acceptance:.0%} of the drafts are accepted, as you say"
        drafted = plan.model.with_drafts(release(plan.version))
        drafting = replace(plan, model=drafted, batch=replace(plan.batch, drafted=asked.drafts))
        tried = ((value, self._variant(drafting, asked)),)
        if self._keep_best(iter(tried), "speculative-config", why):
            self.workload = asked

    def limit_requests(self) -> None:
        """Limit the requests of a step to those that the targets and the KV cache allow."""
        plan, mine = self.best.context.plan, self.best.prediction
        data = mine.layout.data
        room = int(mine.tokens.low / data // (self.workload.prompt + self.workload.answer))
        why = f"the KV cache holds {room} requests of this size: more would be preempted"
        allowed = self._within_target(room) if self.goal == "latency" and self.workload.tpot else room
        if allowed < room:
            why = f"more would exceed {self.workload.tpot:g} s per token"
        limit = max(SEQS_STEP, allowed // SEQS_STEP * SEQS_STEP)
        if limit >= plan.batch.requests:
            return
        variant = self._variant(replace(plan, batch=replace(plan.batch, requests=limit)))
        if variant:
            self.settings.append(Setting("max-num-seqs", limit, why))
            self.best = variant

    def _within_target(self, most: int) -> int:
        """Return how many requests can run at once within the target for the time per token."""
        low, high, target = 1, max(1, most), self.workload.tpot or 0.0
        while low < high:
            middle = (low + high + 1) // 2
            asked = replace(self.workload, requests=None, rate=None, concurrency=middle)
            each = speed(self.best.context, self.best.prediction, asked).each.expected
            low, high = (middle, high) if each <= target else (low, middle - 1)
        return low
