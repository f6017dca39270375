"""The layouts of ``vmn plan`` as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from vmn.app.planner import Plan
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import GIB, Band
from vmn.core.planning.memory.kv_cache import lengths
from vmn.core.planning.prediction import Prediction
from vmn.core.planning.startup_log.expected import log_lines
from vmn.report.terminal import GREEN, RED, WIDTH, YELLOW, colored

DASH = "\N{EN DASH}"
BAND = f"low{DASH}expected{DASH}high"
SHOWN = 10
"""Layouts in the table unless the user asks for all."""
HEADINGS = ("layout", "fits", "GiB weights", "KV tokens", "longest", "concurrency", "network")
COLORS = {"yes": GREEN, "maybe": YELLOW, "no": RED}


def text(plan: Plan, *, everything: bool = False, color: bool = False) -> str:
    """Return a header, a table of layouts, and what vLLM will print in the best layout.

    Args:
        plan: the plan.
        everything: whether to show all layouts, not only the best ones.
        color: whether to color which layouts fit.
    """
    shown = plan.layouts if everything else plan.layouts[:SHOWN]
    rest = plan.layouts[len(shown) :]
    lines = [*header(plan), "", *_table(shown, color)]
    if rest:
        fitting = sum(prediction.fits for prediction in rest)
        lines.append(f"{len(rest)} more: {fitting} fit, {len(rest) - fitting} do not (--all shows them)")
    end = [*_legend(shown), *_hint(plan), *_replicas(plan), *printed(plan.best), *_tables(plan), *_offloading(plan)]
    return "\n".join([*lines, *end])


def _tables(plan: Plan) -> list[str]:
    """Return what the memory of the nodes must hold in addition to that of the GPUs; nothing for most models."""
    size = sum(table.size for table in plan.context.model.tables if table.in_host) / GIB
    if not size:
        return []
    share = min(1.0, plan.context.cluster.gpus_per_node / plan.best.layout.tensor)
    return [f"The memory of each node must also hold {size * share:.0f} GiB of the model's tables of n-grams."]


def _offloading(plan: Plan) -> list[str]:
    """Return what the memory of the nodes must hold for the offloaded KV cache, and how much of it that is."""
    size, best = plan.context.offloaded, plan.best
    if not size or not best.fits:
        return []
    node = size * plan.context.cluster.gpus_per_node
    times_more = times(best.host_tokens / best.tokens.expected)
    text = (
        f"The memory of each node must also hold {node:g} GiB of offloaded KV cache, {size:g} GiB per GPU. All nodes "
        f"together keep {compact(best.host_tokens)} tokens there, {times_more} times as many as the GPUs, and copies "
        "of those of the GPUs are among them."
    )
    return textwrap.wrap(text, WIDTH)


def header(plan: Plan) -> list[str]:
    """Return the lines about the model and the hardware."""
    context = plan.context
    cluster, batch, gpu = context.cluster, context.batch, context.gpu
    where = f"{cluster.gpus_per_node} {gpu.name}"
    if cluster.nodes > 1:
        where = f"{cluster.nodes} nodes of {where} over {cluster.network}"
    return [
        f"{plan.model.name} on {where}, vLLM {context.version}",
        f"{batch.length:,} tokens per request, up to {batch.tokens:,} tokens and {batch.requests:,} requests per step; "
        f"{context.budget:.2f} of {gpu.gib:.2f} GiB of each GPU",
        *_drafts(plan),
    ]


def _drafts(plan: Plan) -> list[str]:
    """Return what is drafted, and by how many layers; nothing without multi-token prediction."""
    tokens, mtp = plan.context.batch.drafted, plan.context.model.mtp
    if not tokens or mtp is None:
        return []
    count, slots = ("1 token", "a slot") if tokens == 1 else (f"{tokens} tokens", f"{tokens} slots")
    layers = "layer" if mtp.depth == 1 else f"{mtp.depth} layers"
    return [
        f"{count} drafted per step by the last stage's {layers} for it; each request reserves {slots} of the KV cache"
    ]


def name(layout: Layout) -> str:
    """Return a layout in short, such as ``TP8 PP2``."""
    parts = [
        f"TP{layout.tensor}",
        f"PP{layout.pipeline}" if layout.pipeline > 1 else "",
        f"DP{layout.data}" if layout.data > 1 else "",
        "EP" if layout.expert else "",
        f"DCP{layout.decode_context}" if layout.decode_context > 1 else "",
    ]
    return " ".join(part for part in parts if part)


def verdict(prediction: Prediction) -> str:
    """Return ``yes``, ``maybe`` (if nothing takes more memory than expected), or ``no``."""
    if prediction.is_sure:
        return "yes"
    return "maybe" if prediction.fits else "no"


def reason(prediction: Prediction) -> str:
    """Return why a layout does not fit, empty for a layout that fits."""
    if prediction.rejected:
        return prediction.rejected
    if prediction.fits:
        return ""
    worst = min(prediction.ranks, key=lambda rank: rank.available.expected)
    if worst.available.expected <= 0:
        other = prediction.budget - worst.available.expected - worst.weights_gib
        return (
            f"{worst.weights_gib:.2f} GiB of weights and {other:.2f} GiB at the peak leave nothing of "
            f"{prediction.budget:.2f} GiB for the KV cache"
        )
    if prediction.has_too_many_requests and prediction.concurrency.expected >= 1:
        most = prediction.most_requests or Band(0, 0, 0)
        return (
            f"{prediction.requests:,} requests per step need a block each for their states, but there are only "
            f"{int(most.expected):,}: set --max-num-seqs to at most {int(most.low)}"
        )
    longest = int(prediction.longest.expected)
    return (
        f"a request of {prediction.length:,} tokens needs {prediction.needed_gib:.2f} GiB of KV cache, but only "
        f"{worst.available.expected:.2f} GiB are available: at most {longest:,} tokens"
    )


def compact(number: float) -> str:
    """Return a count in about five characters: 803k, 1.21M."""
    if number < 9_999.5:
        return f"{int(number):,}"
    if number < 999_500:
        return f"{number / 1e3:.0f}k"
    return f"{number / 1e6:.2f}M" if number < 9_995_000 else f"{number / 1e6:.1f}M"


def times(number: float) -> str:
    """Return a factor with its significant digits."""
    if number < 10:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 100 else compact(round(number))


def band(value: Band, form: Callable[[float], str]) -> str:
    """Return low, expected, and high as one word; one number when they are the same."""
    ends = [form(value.low), form(value.expected), form(value.high)]
    return ends[0] if len(set(ends)) == 1 else DASH.join(ends)


def printed(prediction: Prediction) -> list[str]:
    """Return vLLM's own lines for a layout, with a heading; empty where vLLM has no message."""
    logged = log_lines(prediction)
    if not logged:
        return []
    said = ["", f"vLLM will print, in {name(prediction.layout)}:", *(f"  {line}" for line in logged)]
    return [*said, *_meaning(prediction)]


def _meaning(prediction: Prediction) -> list[str]:
    """Return what the size of the KV cache means, and how many requests of other lengths fit; empty if none do."""
    cache = prediction.cache
    if cache is None or not prediction.fits:
        return []
    said = "These tokens are stored ones"
    if len(cache.groups) > 1:
        said = (
            "This model has several kinds of cache, so the size is not a number of stored tokens: it is how many "
            f"requests of {prediction.length:,} tokens fit at once, times {prediction.length:,}"
        )
    text = f"{said}. Requests that fit at once, by their tokens:"
    counts = [
        f"{compact(length)}: {times(prediction.requests_of(length).expected)}"
        for length in lengths(max(prediction.length, 8192))
    ]
    return [*textwrap.wrap(text, WIDTH), *textwrap.wrap(", ".join(counts), WIDTH, initial_indent="  ")]


def _table(shown: Sequence[Prediction], color: bool) -> list[str]:
    rows = [_cells(prediction) for prediction in shown]
    headings = HEADINGS if any(prediction.fits for prediction in shown) else ("layout", "fits", "why not")
    widths = [
        max(len(row[column]) for row in [headings, *rows] if column < len(row)) for column in range(len(headings))
    ]
    lines = [_row(headings, widths)]
    for prediction, cells in zip(shown, rows, strict=True):
        own = [_row(cells, widths)] if prediction.fits else _refused(cells, widths, reason(prediction))
        lines += [_colored(own[0], cells[1], widths[0] + 2), *own[1:]] if color else own
    return lines


def _cells(prediction: Prediction) -> tuple[str, ...]:
    first = (name(prediction.layout), verdict(prediction))
    if not prediction.fits:
        return first
    return (
        *first,
        f"{max(rank.weights_gib for rank in prediction.ranks):.2f}",
        band(prediction.tokens, compact),
        f"{int(prediction.longest.expected):,}",
        band(prediction.concurrency, times),
        prediction.traffic,
    )


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (0, 1, 6) if len(cells) > 3 else (0, 1, 2)
    parts = [
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def _refused(cells: Sequence[str], widths: Sequence[int], why: str) -> list[str]:
    start = f"{cells[0]:<{widths[0]}}  {cells[1]:<{widths[1]}}  "
    return textwrap.wrap(why, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def _colored(line: str, word: str, at: int) -> str:
    """Return a row with its verdict in the verdict's color."""
    end = at + len(word)
    return f"{line[:at]}{colored(line[at:end], COLORS[word])}{line[end:]}"


def _legend(shown: Sequence[Prediction]) -> list[str]:
    verdicts = {verdict(prediction) for prediction in shown}
    lines = [f"{BAND} where a number is not known exactly; longest: expected tokens of one request"]
    if "maybe" in verdicts:
        lines.append(
            "maybe: fits as expected, but not if activations, NCCL, and CUDA graphs take the most that they can"
        )
    return lines if verdicts - {"no"} else []


def _replicas(plan: Plan) -> list[str]:
    """Return the advice to run several smaller groups where fewer nodes hold the model."""
    nodes, enough = plan.context.cluster.nodes, plan.fewest_nodes
    if enough == nodes:
        return []
    count = nodes // enough
    size = {1: "one-node", 2: "two-node", 4: "four-node"}
    small, large = size.get(enough, f"{enough}-node"), size.get(nodes, f"{nodes}-node")
    what = "1 node is" if enough == 1 else f"{enough} nodes are"
    return ["", f"{what} enough: {count} {small} groups serve more requests than one {large} group."]


def _hint(plan: Plan) -> list[str]:
    """Return what to do when nothing fits: the layout that comes nearest, with the length for which it has room."""
    if any(prediction.fits for prediction in plan.layouts) or all(prediction.rejected for prediction in plan.layouts):
        return []
    end = "low" if any(prediction.longest.low > 0 for prediction in plan.layouts) else "expected"
    best = max(plan.layouts, key=lambda prediction: getattr(prediction.longest, end))
    length = int(getattr(best.longest, end))
    if not length:
        return ["", "No layout has room. Use more or larger GPUs, or a checkpoint with smaller weights."]
    word = "fits" if end == "low" else "may fit"
    return ["", f"No layout fits with this length. {name(best.layout)} {word} with --max-model-len {length}."]
