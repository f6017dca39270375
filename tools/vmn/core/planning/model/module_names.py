"""Which modules a list of patterns means, whatever a wrapper of the model calls them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from vmn.core.planning.model.quantization.format import Format, Quantization

ALIASES = {
    "mlp.experts.0.gate_proj": (
        "mlp.experts",
        "mlp.experts.0",
        "mlp.experts.0.up_proj",
        "mlp.experts.0.down_proj",
        "mlp.experts.gate_up_proj",
        "block_sparse_moe.experts.0.w1",
        "feed_forward.experts.gate_up_proj",
        "mixer.experts.0.up_proj",
        "ffn.experts.0.w1",
    ),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj", "feed_forward.gate_proj"),
    "mlp.down_proj": ("feed_forward.down_proj",),
    "mlp.shared_experts.gate_proj": (
        "mlp.shared_experts.up_proj",
        "mlp.shared_expert.gate_proj",
        "mlp.shared_expert.up_proj",
        "block_sparse_moe.shared_experts.gate_proj",
        "feed_forward.shared_expert.gate_proj",
        "mixer.shared_experts.up_proj",
        "ffn.shared_experts.w1",
    ),
    "mlp.shared_experts.down_proj": (
        "mlp.shared_expert.down_proj",
        "block_sparse_moe.shared_experts.down_proj",
        "feed_forward.shared_expert.down_proj",
        "mixer.shared_experts.down_proj",
        "ffn.shared_experts.w2",
    ),
    "self_attn.q_proj": ("self_attn.qkv_proj",),
    "self_attn.k_proj": ("self_attn.qkv_proj",),
    "self_attn.v_proj": ("self_attn.qkv_proj",),
    "self_attn.q_a_proj": ("self_attn.fused_qkv_a_proj",),
    "self_attn.kv_a_proj_with_mqa": ("self_attn.fused_qkv_a_proj",),
    "linear_attn.in_proj_qkvz": ("linear_attn.in_proj_qkv", "linear_attn.in_proj_z"),
    "linear_attn.in_proj_ba": ("linear_attn.in_proj_b", "linear_attn.in_proj_a"),
}
"""What checkpoints call a module of the planner: parts that vLLM joins, and the names of other models."""
HEADS = ("lm_head", "model.lm_head", "language_model.lm_head")
"""What checkpoints call the output head."""


def module_names(module: str, layer: int, prefixes: Sequence[str]) -> tuple[str, ...]:
    """Return all names that a module of a layer may have in a list of modules."""
    ends = (module, *ALIASES.get(module, ()))
    return tuple(f"{prefix}layers.{layer}.{end}" for prefix in prefixes for end in ends)


def format_of(quantization: Quantization, names: Sequence[str], is_expert: bool = False) -> Format | None:
    """Return how a module is stored, None when it is not quantized.

    Args:
        quantization: how the checkpoint is quantized.
        names: the names that the module may have.
        is_expert: whether it belongs to the routed experts.
    """
    if quantization.experts_only and not is_expert:
        return None
    if is_expert and quantization.experts:
        return quantization.experts
    if quantization.skipped and any(map(matcher(quantization.skipped), names)):
        return None
    for rule in quantization.rules:
        if any(map(matcher(rule.patterns), names)):
            return rule.format
    return quantization.format if quantization.others else None


def head_format(quantization: Quantization | None) -> Format | None:
    """Return how the output head is stored: in 16 bits (None), unless the checkpoint names it or says so."""
    if quantization is None or any(map(matcher(quantization.skipped), HEADS)):
        return None
    if quantization.method == "gptq":
        return quantization.format if quantization.head else None
    named = (rule for rule in quantization.rules if any(name in rule.patterns for name in HEADS))
    return next((rule.format for rule in named), None)


@lru_cache(maxsize=64)
def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that tells whether a module, or a parent of it, is in a list.

    Args:
        patterns: names of modules or of their parents, shell patterns, or regular expressions after ``re:``.
    """
    forms = [pattern.removeprefix("re:") for pattern in patterns if pattern.startswith("re:")]
    globs = [pattern for pattern in patterns if "*" in pattern and not pattern.startswith("re:")]
    names = {pattern for pattern in patterns if "*" not in pattern and not pattern.startswith("re:")}
    expressions = [re.compile(form) for form in [*forms, *(fnmatch.translate(glob + "*") for glob in globs)]]
    short = {name for name in names if "layers." not in name}

    @lru_cache(maxsize=4096)
    def matches(module: str) -> bool:
        parts = module.split(".")
        ends = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        inner = {".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
        if ends & names or inner & short:
            return True
        return any(expression.match(module) for expression in expressions)

    return matches
