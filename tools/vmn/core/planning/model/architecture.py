"""A model's shapes, read from its ``config.json``.

Sizes are numbers of elements or tokens; nothing here depends on the layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Config = Mapping[str, Any]


class ConfigError(Exception):
    """A ``config.json`` can't be planned; the message says which field is wrong, and why."""


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention: each query head has a key and value head, which several heads may share.

    Attributes:
        heads: query heads.
        kv_heads: key and value heads.
        key_size: elements of a query's or key's head.
        value_size: elements of a value's head.
        window: tokens that sliding-window attention looks back, None for all.
        chunk: tokens of a chunk of chunked local attention, None for all.
        gated: whether the query projection also returns a gate of its own size (Qwen3-Next).
        bias: whether the projections of query, key, and value have a bias.
        output_bias: whether the output projection has a bias.
        normed: whether queries and keys have norms of a head's size.
        index_heads: heads of the indexer of block-sparse attention (MiniMax-M3), 0 without one.
        index_size: elements of an indexer's head, and of the key that each rank keeps for each token.
    """

    heads: int
    kv_heads: int
    key_size: int
    value_size: int
    window: int | None = None
    chunk: int | None = None
    gated: bool = False
    bias: bool = False
    output_bias: bool = False
    normed: bool = False
    index_heads: int = 0
    index_size: int = 0


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (MLA): all heads share one compressed key and value.

    Attributes:
        heads: query heads.
        query_rank: elements of a compressed query, None if queries are not compressed.
        kv_rank: elements of a compressed key and value.
        rope_size: elements of a head with positions, which the keys of all heads share.
        nope_size: elements of a head without positions.
        value_size: elements of a value's head.
        index_heads: heads of the indexer of DeepSeek's sparse attention, 0 in a layer without one.
        index_size: elements of an indexer's head.
        index_top: tokens that the indexer selects, 0 in a model without sparse attention.
        gated: whether the output has a gate of its own size (Kimi K3).
    """

    heads: int
    query_rank: int | None
    kv_rank: int
    rope_size: int
    nope_size: int
    value_size: int
    index_heads: int = 0
    index_size: int = 0
    index_top: int = 0
    gated: bool = False


@dataclass(frozen=True)
class LinearAttention:
    """Gated delta net (Qwen3-Next, Qwen3.5): a state of fixed size for each request instead of a KV cache.

    Attributes:
        key_heads: heads of queries and keys.
        value_heads: heads of values.
        key_size: elements of a key's head.
        value_size: elements of a value's head.
        convolution: tokens of the convolution before it.
        state_bytes: bytes of an element of the recurrent state (``mamba_ssm_dtype``).
    """

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    convolution: int
    state_bytes: int = 2


@dataclass(frozen=True)
class Mamba2:
    """A Mamba-2 mixer (Nemotron-H): a state of fixed size for each request instead of a KV cache.

    Attributes:
        heads: heads of the state.
        size: elements of a head.
        groups: groups of heads that share the projections B and C.
        state: elements of the state for each element of a head.
        convolution: tokens of the convolution before it.
        state_bytes: bytes of an element of the state (``mamba_ssm_cache_dtype``).
    """

    heads: int
    size: int
    groups: int
    state: int
    convolution: int
    state_bytes: int = 4


@dataclass(frozen=True)
class KimiDeltaAttention:
    """Kimi delta attention (KDA): a state of fixed size for each request instead of a KV cache.

    Attributes:
        heads: heads of queries, keys, and values.
        size: elements of a head.
        convolution: tokens of the convolutions before it.
        full_gate: whether the gate of the output has one projection instead of two of a low rank.
        state_bytes: bytes of an element of the recurrent state.
    """

    heads: int
    size: int
    convolution: int
    full_gate: bool = False
    state_bytes: int = 4


@dataclass(frozen=True)
class Dense:
    """A feed-forward layer of ``intermediate`` elements, with or without a gate next to its up projection."""

    intermediate: int
    bias: bool = False
    gated: bool = True


@dataclass(frozen=True)
class Experts:
    """A mixture of experts.

    Attributes:
        count: routed experts.
        active: experts that process each token.
        intermediate: elements of a routed expert.
        shared: elements of all shared experts together, 0 without shared experts.
        shared_gate: whether the shared expert has a gate of one element.
        router_bias: whether the router has a bias of one 32-bit number per expert.
        bias: whether experts have biases (gpt-oss).
        latent: elements of a token's state that the routed experts see, 0 for all of the model's (latent MoE).
        gated: whether experts have a gate next to their up projection.
    """

    count: int
    active: int
    intermediate: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False
    latent: int = 0
    gated: bool = True

    @property
    def ups(self) -> int:
        """The matrices of an expert before its down projection: gate and up, or only up."""
        return 2 if self.gated else 1


Mixer = Attention | LatentAttention | LinearAttention | Mamba2 | KimiDeltaAttention
"""What passes information between tokens in a layer."""
STATEFUL = (LinearAttention, Mamba2, KimiDeltaAttention)
"""Mixers that keep a state of fixed size for each request."""


@dataclass(frozen=True)
class Layer:
    """One decoder layer; in some models a layer has only one of the two blocks."""

    attention: Mixer | None
    mlp: Dense | Experts | None


@dataclass(frozen=True)
class Format:
    """How the weights of one module are stored.

    Attributes:
        name: name of the format.
        weight_bytes: bytes of a weight.
        scale_bytes: bytes of its share of the scales and zero points.
        block: rows and columns that share a scale in block-wise FP8, which a shard must not cut; otherwise None.
        group: columns that share a scale, which a shard must not cut; None if they do not limit shards.
    """

    name: str
    weight_bytes: float
    scale_bytes: float = 0.0
    block: tuple[int, int] | None = None
    group: int | None = None


@dataclass(frozen=True)
class FormatRule:
    """The format of the modules that some patterns match, None if they are not quantized."""

    patterns: tuple[str, ...]
    format: Format | None


@dataclass(frozen=True)
class Quantization:
    """How the weights of a checkpoint are stored, module by module.

    Attributes:
        method: name in the configuration.
        weight_bytes: bytes of a quantized weight that no rule is for.
        scale_bytes: bytes of its share of the scales.
        block: rows and columns that share a scale in block-wise FP8, which a shard must not cut; otherwise None.
        experts_only: whether only the routed experts are quantized.
        skipped: patterns of modules that are not quantized.
        group: columns that share a scale, which a shard must not cut; otherwise None.
        rules: formats of modules by name; the first rule that matches counts.
        others: whether modules without a rule are quantized.
        head: whether the output head is quantized.
    """

    method: str
    weight_bytes: float
    scale_bytes: float = 0.0
    block: tuple[int, int] | None = None
    experts_only: bool = False
    skipped: tuple[str, ...] = ()
    group: int | None = None
    rules: tuple[FormatRule, ...] = ()
    others: bool = True
    head: bool = False

    @cached_property
    def format(self) -> Format:
        """The format of modules that no rule is for."""
        return Format(self.method, self.weight_bytes, self.scale_bytes, self.block, self.group)


@dataclass(frozen=True)
class StoredWeights:
    """Bytes of the weights of a checkpoint as vLLM loads them, read from its files.

    Attributes:
        layers: bytes of each decoder layer.
        other: bytes outside layers and encoders: embedding, head, last norm.
        encoder: bytes of encoders of images or sound.
        parts: bytes of each layer's experts, attention, and rest.
        packed: whether layers have integers or floating-point numbers of 8 bits or fewer.
    """

    layers: tuple[float, ...]
    other: float
    encoder: float = 0.0
    parts: tuple[tuple[float, float, float], ...] = ()
    packed: bool = False


@dataclass(frozen=True)
class Architecture:
    """What the planner knows about a model.

    Attributes:
        kind: class in ``architectures``.
        hidden: elements of a token's state.
        vocabulary: number of tokens in the vocabulary.
        layers: decoder layers, without those for multi-token prediction, which vLLM does not load by default.
        tied: whether the output head is the embedding.
        max_length: longest context of the model.
        position_bytes: bytes of the tables of rotary positions, which each rank has.
        dtype_bytes: bytes of a weight that is not quantized, and of an activation.
        quantization: how weights are stored, None without quantization.
        kv_dtype: type of the KV cache that the checkpoint asks for, ``fp8`` or None.
        mtp_layers: number of layers for multi-token prediction in the checkpoint.
        extra_weights: elements of what else the first stage loads (an image encoder).
        stored: exact sizes, None when only the shapes are known.
        prefixes: what the names of layers may begin with in the lists of modules of a quantization.
    """

    kind: str
    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    tied: bool
    max_length: int
    position_bytes: int
    dtype_bytes: int
    quantization: Quantization | None
    kv_dtype: str | None
    mtp_layers: int
    extra_weights: int = 0
    stored: StoredWeights | None = None
    prefixes: tuple[str, ...] = ("model.",)

    @cached_property
    def kinds(self) -> tuple[Layer, ...]:
        """The different layers, in their order."""
        return tuple(dict.fromkeys(self.layers))

    @cached_property
    def experts(self) -> Experts | None:
        """The routed experts of the layers that have them, None without experts."""
        return next((layer.mlp for layer in self.kinds if isinstance(layer.mlp, Experts)), None)

    @property
    def is_moe(self) -> bool:
        """Whether some layers have routed experts."""
        return self.experts is not None

    @property
    def is_latent(self) -> bool:
        """Whether attention is multi-head latent attention."""
        return any(isinstance(layer.attention, LatentAttention) for layer in self.kinds)

    @property
    def is_sparse(self) -> bool:
        """Whether attention selects tokens with an indexer (DeepSeek's sparse attention)."""
        return any(getattr(layer.attention, "index_top", 0) for layer in self.kinds)

    @property
    def is_hybrid(self) -> bool:
        """Whether some layers keep a state instead of a KV cache."""
        return any(isinstance(layer.attention, STATEFUL) for layer in self.kinds)

    @property
    def has_four_norms(self) -> bool:
        """Whether attention and feed-forward parts also have norms after them (Gemma 3)."""
        return self.kind.startswith("Gemma3")

    @property
    def heads(self) -> int:
        """The number of query heads, which the tensor parallel size must divide."""
        found = (layer.attention for layer in self.kinds)
        return max(part.heads for part in found if isinstance(part, Attention | LatentAttention))
