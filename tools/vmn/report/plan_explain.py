"""One layout of ``vmn plan``, line by line: where a GPU's memory goes, and how that becomes tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from vmn.app.planner import Plan
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.memory.kv_cache import KVCache
from vmn.core.planning.prediction import Prediction, Rank
from vmn.report.plan import BAND, DASH, band, compact, header, name, printed, reason, times, verdict
from vmn.report.plan_ledger import ACTIVATION, CACHE, GRAPHS, OTHER, Ledger, explanations, ledger
from vmn.report.terminal import WIDTH

COLUMNS = 4
"""Stages side by side."""
LABEL, NUMBER = 14, 8
SOFT = ("activation", "non_torch", "graphs", "available")


def explanation(plan: Plan) -> str:
    """Return the ledger of the best layout, the arithmetic of its KV cache, and what vLLM will print."""
    best = plan.best
    why = reason(best)
    read = f", read on {plan.model.date}" if plan.model.date else ""
    origin = f"shapes from {plan.model.source}{read}; memory of the GPU: {plan.context.gpu.source}"
    lines = [
        *header(plan),
        *wrap(origin, WIDTH, break_long_words=False, break_on_hyphens=False),
        "",
        *wrap(f"{name(best.layout)}: {verdict(best)}{f', {why}' if why else ''}", WIDTH, subsequent_indent="  "),
    ]
    if best.ranks:
        lines += [*_ledgers(plan, best), "", *_soft(best), "", *_cache(plan, best)]
    lines += printed(best)
    return "\n".join(lines)


def stages(ranks: Sequence[Rank]) -> str:
    """Return the stages of some ranks in words: stage 0, stages 1 to 6, stages 1, 3."""
    return f"stage{'s' * (len(ranks) > 1)} {_numbers(ranks)}"


def _numbers(ranks: Sequence[Rank]) -> str:
    numbers = [rank.stage for rank in ranks]
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}{DASH}{numbers[-1]}"
    return ", ".join(map(str, numbers))


def alike(plan: Plan, prediction: Prediction) -> list[tuple[list[Rank], Ledger]]:
    """Return the different ledgers of a layout, each with its stages."""
    groups: dict[tuple[object, ...], tuple[list[Rank], Ledger]] = {}
    for rank in prediction.ranks:
        lines = ledger(plan.context, rank)
        key = (rank.layers, rank.blocks, *lines.items())
        groups.setdefault(key, ([], lines))[0].append(rank)
    return list(groups.values())


def _ledgers(plan: Plan, prediction: Prediction) -> Iterator[str]:
    words = explanations(plan.context, prediction)
    columns = alike(plan, prediction)
    for start in range(0, len(columns), COLUMNS):
        some = columns[start : start + COLUMNS]
        used = {line: None for _, lines in some for line in lines}
        names = [*(line for line in words if line in used), *(line for line in used if line not in words)]
        yield ""
        yield _line("GiB, in stage", [_short(_numbers(ranks)) for ranks, _ in some], "")
        for line in names:
            yield _line(line, [_amount(lines.get(line)) for _, lines in some], words.get(line, ""))
        total = [_amount(sum(lines.values())) for _, lines in some]
        yield _line("sum", total, f"all memory of {plan.context.gpu.name} that vLLM sees")
        weights = [_amount(sum(lines[part] for part in ranks[0].weights)) for ranks, lines in some]
        yield _line("weights alone", weights, 'what vLLM calls "Model loading took"')


def _short(text: str) -> str:
    return text if len(text) <= NUMBER else f"{text[: NUMBER - 1]}…"


def _line(label: str, numbers: Sequence[str], words: str) -> str:
    return f"  {label:<{LABEL}}{''.join(f'{number:>{NUMBER}}' for number in numbers)}  {words}".rstrip()


def _amount(hundredths: int | None) -> str:
    return DASH if hundredths is None else f"{hundredths / 100:.2f}"


def _soft(prediction: Prediction) -> Iterator[str]:
    """Yield the bands of what is not known exactly."""
    yield f"{BAND} of what is not known exactly, in GiB"
    names: Mapping[str, str] = dict(zip(SOFT, (ACTIVATION, OTHER, GRAPHS, CACHE), strict=True))
    for attribute in SOFT:
        known: dict[str, list[Rank]] = {}
        for rank in prediction.ranks:
            known.setdefault(_gibs(getattr(rank, attribute)), []).append(rank)
        parts = [f"{text} ({stages(ranks)})" if len(known) > 1 else text for text, ranks in known.items()]
        for index, part in enumerate(parts):
            yield f"  {names[attribute] if not index else '':<{LABEL}}  {part}"


def _gibs(value: Band) -> str:
    return band(value, lambda number: f"{number:.2f}")


def _cache(plan: Plan, prediction: Prediction) -> Iterator[str]:
    cache, length = prediction.cache, prediction.length
    if cache is None:
        return
    yield "KV cache"
    token = cache.page // cache.block
    yield f"  a block is {cache.block:,} tokens: {cache.page:,} bytes in the largest layer, {token:,} per token"
    yield from _groups(cache)
    for ranks, _ in alike(plan, prediction):
        size = ranks[0].block_bytes
        blocks = int(ranks[0].blocks.expected)
        yield (
            f"  {stages(ranks)}: {size:,} bytes per block of all its layers; {ranks[0].available.expected:.2f} GiB are "
            f"{blocks:,} blocks"
        )
    blocks = min(int(rank.blocks.expected) for rank in prediction.ranks)
    needed = prediction.request_blocks
    share = f", over {cache.shards} GPUs" if cache.shards > 1 else ""
    if len(prediction.ranks) > 1:
        yield f"  the stage with the fewest blocks decides: {blocks:,}"
    yield f"  a request of {length:,} tokens takes {needed:,} blocks{share}: {prediction.needed_gib:.2f} GiB"
    copies = prediction.layout.data
    each = f" x {copies} data-parallel replicas" if copies > 1 else ""
    yield (
        f"  {blocks:,} / {needed:,}{each} = {times(prediction.concurrency.expected)} requests at once "
        f"({band(prediction.concurrency, times)})"
    )
    if len(cache.groups) > 1:
        yield "  with several kinds of cache, vLLM's tokens are these requests times their length, not tokens stored:"
    yield f"  that times {length:,} = {int(prediction.tokens.expected):,} tokens ({band(prediction.tokens, compact)})"
    limit = ", the model's own limit" if prediction.longest.expected >= plan.context.model.max_length else ""
    yield f"  the longest request has {int(prediction.longest.expected):,} tokens{limit}"


def _groups(cache: KVCache) -> Iterator[str]:
    """Yield which layers share blocks if there are several kinds."""
    if len(cache.groups) < 2:
        return
    kinds: dict[str, int] = {}
    for group in cache.groups:
        kind = "all tokens of a request"
        if group.spec.states:
            kind = "a state of fixed size" if group.spec.kind == "state" else "tokens that are not compressed yet"
        elif group.spec.is_local:
            kind = f"the last {group.spec.reach:,} tokens and {cache.in_flight:,} in flight"
        kinds[kind] = kinds.get(kind, 0) + 1
    size = max(len(group.pages) for group in cache.groups)
    yield f"  the layers form {len(cache.groups)} groups of up to {size}, and a request takes blocks in each:"
    for kind, count in kinds.items():
        yield f"    {count} with {kind}"
