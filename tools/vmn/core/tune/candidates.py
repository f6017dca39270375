"""The settings that the plan ranks best for a running release: single flags, and all that help together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.memory.kv_cache import cache_is_fp8
from vmn.core.planning.prediction import PlanContext, predict, predict_all
from vmn.core.speed.choice import GRAPH_TOKENS, SEQS_STEP, STEP_TOKENS, WORTH_8_BITS, WORTH_LAYOUT, Variant, merit
from vmn.core.speed.predict import SpeedContext, speed
from vmn.core.tune.setting import TunedSetting

GOALS = ("throughput", "latency")
"""What a release can be tuned for."""
HOPELESS = -0.10
"""Expected gain below which a setting is not worth a start: predictions can be off by as much."""
SAME = 0.001
"""Difference of two expected gains that counts as none."""
VALUES_OF_A_FLAG = 2
"""Values of the same flag that are tried alone at most, so that other flags get their turn."""

Change = Callable[[SpeedContext], SpeedContext]
"""What a flag changes in the plan."""


@dataclass(frozen=True)
class Knob:
    """One value of one flag.

    Attributes:
        flag: vLLM's flag, without dashes.
        value: its value.
        reason: why it may help.
        change: what it changes in the plan.
        worth: expected gain from which it is worth trying.
    """

    flag: str
    value: object
    reason: str
    change: Change
    worth: float = HOPELESS


def candidates(now: Variant, flags: Mapping[str, str], goal: str, most: int) -> list[TunedSetting]:
    """Return the settings to try, the best by the plan first.

    Args:
        now: what runs now.
        flags: vLLM's flags that run now.
        goal: one of ``GOALS``.
        most: most settings.
    """
    all_knobs = list(knobs(now, flags))
    alone = sorted(_tried(now, [[knob] for knob in all_knobs], goal), key=lambda one: -one.gain)
    together = _together(now, alone[0], all_knobs, goal) if alone else []
    found: list[_Tried] = []
    for one in sorted([*alone, *together], key=lambda one: (-round(one.gain / SAME), len(one.knobs))):
        if one.gain >= max(knob.worth for knob in one.knobs) and not _crowded(found, one):
            found.append(one)
    return [one.setting() for one in found[:most]]


def other_layout(now: Variant, goal: str) -> TunedSetting | None:
    """Return the best other layout of the same nodes, None unless the plan expects much more of it.

    Args:
        now: what runs now.
        goal: one of ``GOALS``.
    """
    context, workload = now.context, now.speed.workload
    plan = replace(context.plan, cluster=replace(context.plan.cluster, forced=False))
    sure = [item for item in predict_all(plan) if item.is_sure]
    variants = [Variant(context, item, speed(context, item, workload)) for item in sure]
    best = max(variants, key=lambda variant: merit(goal, variant), default=now)
    gain = merit(goal, best) / merit(goal, now) - 1
    if gain < WORTH_LAYOUT or best.prediction.layout == now.prediction.layout:
        return None
    return TunedSetting({}, "another layout of the same nodes", best.speed, gain, best.prediction.layout)


@dataclass(frozen=True)
class _Tried:
    """Knobs turned together, and what the plan makes of them."""

    knobs: Sequence[Knob]
    variant: Variant
    gain: float

    def setting(self) -> TunedSetting:
        """Return it as a setting."""
        flags = {knob.flag: knob.value for knob in self.knobs}
        reasons = dict.fromkeys(knob.reason for knob in self.knobs)
        return TunedSetting(flags, "; ".join(reasons), self.variant.speed, self.gain)


def _tried(now: Variant, sets: Sequence[Sequence[Knob]], goal: str) -> Iterator[_Tried]:
    """Yield what the plan makes of each set of knobs that fits as surely as what runs now."""
    for turned in sets:
        context = now.context
        for knob in turned:
            context = knob.change(context)
        prediction = predict(context.plan, now.prediction.layout)
        if not prediction.fits or (now.prediction.is_sure and not prediction.is_sure):
            continue
        variant = Variant(context, prediction, speed(context, prediction, now.speed.workload))
        yield _Tried(turned, variant, merit(goal, variant) / merit(goal, now) - 1)


def _together(now: Variant, best: _Tried, all_knobs: Sequence[Knob], goal: str) -> list[_Tried]:
    """Return the best flag with one more that helps each time, until none does."""
    found = [best]
    while True:
        turned = {knob.flag for knob in found[-1].knobs}
        more = [[*found[-1].knobs, knob] for knob in all_knobs if knob.flag not in turned]
        better = max(_tried(now, more, goal), key=lambda one: one.gain, default=best)
        if better.gain <= found[-1].gain + SAME:
            return found[1:]
        found.append(better)


def _crowded(found: Sequence[_Tried], one: _Tried) -> bool:
    """Return whether enough values of the same single flag are tried already, or one of which as much is expected."""
    if len(one.knobs) > 1:
        return False
    same = [other for other in found if len(other.knobs) == 1 and other.knobs[0].flag == one.knobs[0].flag]
    return len(same) >= VALUES_OF_A_FLAG or any(abs(other.gain - one.gain) < SAME for other in same)


def knobs(now: Variant, flags: Mapping[str, str]) -> Iterator[Knob]:
    """Yield the values of flags that need no other layout.

    Args:
        now: what runs now.
        flags: vLLM's flags that run now.
    """
    plan = now.context.plan
    yield from _step_tokens(plan)
    yield from _requests(now)
    yield from _graphs(now, flags)
    if plan.kv_dtype == "auto" and plan.gpu.fp8 and not cache_is_fp8(plan.model, plan.kv_dtype, plan.gpu.capability):
        why = "half the bytes of the KV cache, and answers can differ a little"
        yield Knob("kv-cache-dtype", "fp8", why, _in_plan(lambda own: replace(own, kv_dtype="fp8")), WORTH_8_BITS)
    if plan.batch.eager:
        graphs = _in_plan(lambda own: replace(own, batch=replace(own.batch, eager=False)))
        yield Knob("enforce-eager", False, "CUDA graphs save the host's time per kernel", graphs)


def with_prediction(now: Variant, setting: TunedSetting, goal: str) -> TunedSetting:
    """Return a setting with what the plan expects of it; as it is if the plan does not know one of its flags.

    Args:
        now: what runs now.
        setting: the setting.
        goal: one of ``GOALS``.
    """
    turned = [
        Knob(flag, value, setting.reason, change)
        for flag, value in setting.flags.items()
        if (change := _change(flag, value))
    ]
    found = list(_tried(now, [turned], goal)) if len(turned) == len(setting.flags) else []
    return found[0].setting() if found else setting


def _change(flag: str, value: object) -> Change | None:
    """Return what a flag changes in the plan, None if the plan does not know it or its value makes no sense."""
    if flag == "enforce-eager" and isinstance(value, bool):
        return _in_plan(lambda own: replace(own, batch=replace(own.batch, eager=value)))
    if flag == "kv-cache-dtype" and isinstance(value, str):
        return _in_plan(lambda own: replace(own, kv_dtype=value))
    known = {
        "max-num-batched-tokens": _with_tokens,
        "max-num-seqs": _with_requests,
        "max-cudagraph-capture-size": _with_graphs,
    }
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return known[flag](value) if flag in known and isinstance(value, int) and is_count else None


def _in_plan(change: Callable[[PlanContext], PlanContext]) -> Change:
    return lambda context: replace(context, plan=change(context.plan))


def _step_tokens(plan: PlanContext) -> Iterator[Knob]:
    for tokens in STEP_TOKENS:
        if tokens != plan.batch.tokens and tokens >= plan.batch.requests:
            yield Knob(
                "max-num-batched-tokens", tokens, "how much of the prompts a step computes", _with_tokens(tokens)
            )


def _with_tokens(tokens: int) -> Change:
    return _in_plan(lambda own: replace(own, batch=replace(own.batch, tokens=tokens)))


def _requests(now: Variant) -> Iterator[Knob]:
    """Yield a limit by the room in the KV cache, and one that lets all requests run that are kept up."""
    plan, workload, data = now.context.plan, now.speed.workload, now.prediction.layout.data
    room = int(now.prediction.tokens.low / data // (workload.prompt + workload.answer)) // SEQS_STEP * SEQS_STEP
    wanted = -(-(workload.concurrency or 0) // data // SEQS_STEP) * SEQS_STEP
    if SEQS_STEP <= room < min(plan.batch.requests, wanted):
        why = f"the KV cache holds {room} requests of this size: more would be preempted"
        yield Knob("max-num-seqs", room, why, _with_requests(room))
    if plan.batch.requests < min(wanted, room, plan.batch.tokens):
        most = min(wanted, room, plan.batch.tokens)
        why = f"{plan.batch.requests} requests run at once, and the others wait"
        yield Knob("max-num-seqs", most, why, _with_requests(most))


def _with_requests(requests: int) -> Change:
    return _in_plan(lambda own: replace(own, batch=replace(own.batch, requests=requests)))


def _graphs(now: Variant, flags: Mapping[str, str]) -> Iterator[Knob]:
    """Yield larger CUDA graphs where more requests run than they hold; not where the user lists their sizes."""
    running = now.speed.running / now.prediction.layout.data
    listed = "cudagraph" in flags.get("compilation-config", "") or "cudagraph-capture-sizes" in flags
    if now.context.plan.batch.eager or listed or running <= now.context.largest_graph:
        return
    for tokens in GRAPH_TOKENS:
        if tokens > now.context.largest_graph:
            why = f"{running:.0f} requests run at once, and the largest CUDA graph has {now.context.largest_graph}"
            yield Knob("max-cudagraph-capture-size", tokens, why, _with_graphs(tokens))


def _with_graphs(tokens: int) -> Change:
    return lambda context: replace(context, graph_tokens=tokens)
