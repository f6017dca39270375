"""The memory of one GPU as a ledger that adds up to the hundredth of a GiB."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vmn.core.planning.blocks.feed_forward import shared_is_copied
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.prediction import PlanContext, Prediction, Rank
from vmn.core.planning.vllm.versions import LARGE_GPU_GIB, graph_sizes

UNUSED, ACTIVATION, OTHER, GRAPHS, CACHE = "unused", "activations", "NCCL and CUDA", "CUDA graphs", "KV cache"
PARTS = (
    "embedding",
    "attention",
    "feed-forward",
    "experts",
    "routers",
    "norms",
    "copies",
    "positions",
    "buffers",
    "tables",
    "head",
    "other",
    "rounding",
)
"""Parts of the weights, in the order of the ledger."""

Ledger = dict[str, int]
"""Hundredths of a GiB by line."""


def ledger(context: PlanContext, rank: Rank) -> Ledger:
    """Return where a GPU's memory goes, in hundredths of a GiB, with the soft terms as expected.

    The sum of the weights, the KV cache, and vLLM's budget are rounded as everywhere else. The remainder, three
    hundredths at most, goes to the activations, which are not known that exactly. A negative KV cache is what is
    missing.
    """
    total, weights = _hundredths(context.gpu.gib), _hundredths(rank.weights_gib)
    lines = {UNUSED: total - _hundredths(context.budget)}
    lines |= _shares({part: rank.weights[part] for part in sorted(rank.weights, key=_order)}, weights)
    fixed = {
        OTHER: _hundredths(rank.non_torch.expected),
        GRAPHS: _hundredths(rank.graphs.expected),
        CACHE: _hundredths(rank.available.expected),
    }
    return lines | {ACTIVATION: total - sum(lines.values()) - sum(fixed.values())} | fixed


def explanations(context: PlanContext, prediction: Prediction) -> dict[str, str]:
    """Return for each line where its number comes from, in words."""
    model, layout, batch = context.model, prediction.layout, context.batch
    small = model.quantization
    stored = f", {small.method}" if small and not small.experts_only else ""
    share = 1 - context.budget / context.gpu.gib
    return {
        UNUSED: f"{share:.0%} of the GPU, for driver and CUDA (--gpu-memory-utilization)",
        "embedding": f"{model.vocabulary:,} x {model.hidden:,}, {_over(layout)}; {_embedded(model, layout)}",
        "attention": _attention(model, layout) + stored,
        "feed-forward": _feed_forward(model, layout) + stored,
        "experts": _experts(model, layout)
        + (f", {small.experts.name if small.experts else small.method}" if small else ""),
        "routers": "choose the experts of a token; whole on every GPU",
        "norms": "whole on every GPU",
        "copies": "W_UK_T and W_UV, vLLM's copies of kv_b_proj for decoding",
        "positions": f"rotary table of {model.max_length:,} positions",
        "buffers": "buffers of attention for prompts, allocated with the weights",
        "tables": f"tables of n-grams {_over(layout)}; first stage",
        "head": f"{model.vocabulary:,} x {model.hidden:,}, {_over(layout)}; last stage",
        "other": "image encoder, estimated from its shapes; first stage",
        "rounding": "unused rest of PyTorch's blocks of 2 MiB",
        ACTIVATION: f"at the peak: {batch.tokens:,} tokens and {batch.requests:,} requests per step",
        OTHER: "libraries, and what the sampler keeps per request",
        GRAPHS: _graphs(context, prediction),
        CACHE: "the rest",
    }


def _hundredths(gib: float) -> int:
    return round(gib * 100)


def _order(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _shares(parts: Mapping[str, float], total: int) -> Ledger:
    """Return whole hundredths that add up to ``total``: rounded down, and the largest remainders get the rest."""
    cut = {part: math.floor(size * 100) for part, size in parts.items()}
    left = total - sum(cut.values())
    for part in sorted(parts, key=lambda part: cut[part] - parts[part] * 100)[: max(0, left)]:
        cut[part] += 1
    return cut


def _embedded(model: Architecture, layout: Layout) -> str:
    if layout.pipeline > 1 and model.drafts:
        return "first stage, and last stage for drafts"
    return "first stage"


def _over(layout: Layout) -> str:
    return f"over {layout.tensor} GPUs" if layout.tensor > 1 else "whole"


def _attention(model: Architecture, layout: Layout) -> str:
    if model.is_hybrid:
        return f"full and linear attention {_over(layout)}"
    for block in model.blocks:
        match block:
            case LatentAttention(heads=heads):
                return f"{heads} heads {_over(layout)}; compression on every GPU"
            case Attention(heads=heads, kv_heads=kv_heads):
                copies = layout.tensor // kv_heads
                kept = f", each on {copies} GPUs" if copies > 1 else ""
                return f"{heads} heads {_over(layout)}; {kv_heads} KV heads{kept}"
    return f"projections {_over(layout)}"


def _feed_forward(model: Architecture, layout: Layout) -> str:
    if not model.is_moe:
        return f"gate, up and down {_over(layout)}"
    shared = "whole on every GPU" if shared_is_copied(layout) else _over(layout)
    return f"dense layers and shared experts, {shared}"


def _experts(model: Architecture, layout: Layout) -> str:
    found = model.experts
    if found is None:
        return ""
    here, _ = found.share_of(layout)
    if layout.expert:
        return f"{here} whole experts of {found.count} per layer"
    ranks = layout.tensor * layout.data
    return f"{found.count} per layer, each {f'over {ranks} GPUs' if ranks > 1 else 'whole'}"


def _graphs(context: PlanContext, prediction: Prediction) -> str:
    if context.batch.eager:
        return "none with --enforce-eager"
    if not prediction.ranks[0].graphs.expected:
        return "this version does not subtract them from the KV cache"
    return f"estimate for {graph_sizes(context.batch.requests, context.gpu.gib >= LARGE_GPU_GIB)} sizes of a batch"
