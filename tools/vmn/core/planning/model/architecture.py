"""A model's shapes, read from its ``config.json``.

Sizes are counts of elements or tokens; nothing here depends on how the model is spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Config = Mapping[str, Any]


class ConfigError(Exception):
    """A ``config.json`` that can't be planned with; the message says which field, and why."""


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention: every query head has a key and value head, which several may share.

    Attributes:
        heads: query heads.
        kv_heads: key and value heads.
        key_size: elements of a query's or key's head.
        value_size: elements of a value's head.
        window: tokens that a layer with sliding-window attention looks back, None for all.
        chunk: tokens of a chunk of chunked local attention, None for all.
        gated: the query projection also gives a gate of its own size (Qwen3-Next).
        bias: projections of query, key and value have a bias.
        output_bias: the output projection has one.
        normed: queries and keys have norms of a head's size.
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


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (MLA): all heads share one compressed key and value.

    Attributes:
        heads: query heads.
        query_rank: elements of a compressed query, None when queries are not compressed.
        kv_rank: elements of a compressed key and value.
        rope_size: elements of a head with position, shared by all heads' keys.
        nope_size: elements of a head without.
        value_size: elements of a value's head.
        index_heads: heads of DeepSeek's sparse attention's indexer, 0 in a layer without one.
        index_size: elements of an indexer's head.
        index_top: tokens that the indexer picks, 0 in a model without sparse attention.
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


@dataclass(frozen=True)
class LinearAttention:
    """Gated delta net (Qwen3-Next, Qwen3.5): a state of fixed size for each request in the place of a KV cache.

    Attributes:
        key_heads: heads of queries and keys.
        value_heads: heads of values.
        key_size: elements of a key's head.
        value_size: elements of a value's head.
        convolution: tokens of the convolution before it.
        state_bytes: of an element of the recurrent state (``mamba_ssm_dtype``).
    """

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    convolution: int
    state_bytes: int = 2


@dataclass(frozen=True)
class Dense:
    """A gated feed-forward layer of ``intermediate`` elements."""

    intermediate: int
    bias: bool = False


@dataclass(frozen=True)
class Experts:
    """A mixture of experts.

    Attributes:
        count: routed experts.
        active: experts that see each token.
        intermediate: elements of a routed expert.
        shared: elements of all shared experts together, 0 without any.
        shared_gate: the shared expert has a gate of one element.
        router_bias: the router has a bias of one 32-bit number an expert.
        bias: experts have biases (gpt-oss).
    """

    count: int
    active: int
    intermediate: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Layer:
    """One decoder layer."""

    attention: Attention | LatentAttention | LinearAttention
    mlp: Dense | Experts


@dataclass(frozen=True)
class Quantization:
    """How weights are stored.

    Attributes:
        method: as the configuration calls it.
        weight_bytes: of a quantised weight.
        scale_bytes: its share of the scales.
        block: rows and columns that share a scale in block-wise FP8, which a shard may not cut; None otherwise.
        experts_only: only the routed experts are quantised.
        skipped: patterns of modules that are not quantised.
    """

    method: str
    weight_bytes: float
    scale_bytes: float = 0.0
    block: tuple[int, int] | None = None
    experts_only: bool = False
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredWeights:
    """Bytes of a checkpoint's weights as they are loaded, read from its files.

    Attributes:
        layers: of each decoder layer.
        other: beside layers and encoders: embedding, head, last norm.
        encoder: of encoders of images or sound.
    """

    layers: tuple[float, ...]
    other: float
    encoder: float = 0.0


@dataclass(frozen=True)
class Architecture:
    """All that the planner knows of a model.

    Attributes:
        kind: the class of ``architectures``.
        hidden: elements of a token's state.
        vocabulary: tokens known.
        layers: the decoder's, without those for multi-token prediction, which vLLM does not load by default.
        tied: the output head is the embedding.
        max_length: tokens that the model was made for.
        position_bytes: of the tables of rotary positions, which every rank has.
        dtype_bytes: of a weight that is not quantised, and of activations.
        quantization: None for none.
        kv_dtype: the checkpoint's own wish for the KV cache, ``fp8`` or None.
        mtp_layers: layers for multi-token prediction in the checkpoint.
        extra_weights: elements of what else is loaded on the first stage (an image encoder).
        stored: exact bytes, None when only the shapes are known.
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

    @cached_property
    def kinds(self) -> tuple[Layer, ...]:
        """Layers without repetition, in their order."""
        return tuple(dict.fromkeys(self.layers))

    @cached_property
    def experts(self) -> Experts | None:
        """The routed experts of the layers that have any."""
        return next((layer.mlp for layer in self.kinds if isinstance(layer.mlp, Experts)), None)

    @property
    def is_moe(self) -> bool:
        """Whether there are layers with routed experts."""
        return self.experts is not None

    @property
    def is_latent(self) -> bool:
        """Whether attention is multi-head latent attention."""
        return any(isinstance(layer.attention, LatentAttention) for layer in self.kinds)

    @property
    def is_sparse(self) -> bool:
        """Whether attention picks tokens with an indexer (DeepSeek's sparse attention)."""
        return any(getattr(layer.attention, "index_top", 0) for layer in self.kinds)

    @property
    def is_hybrid(self) -> bool:
        """Whether some layers keep a state in the place of a KV cache."""
        return any(isinstance(layer.attention, LinearAttention) for layer in self.kinds)

    @property
    def has_four_norms(self) -> bool:
        """Whether attention and feed-forward part have norms also behind them (Gemma 3)."""
        return self.kind.startswith("Gemma3")

    @property
    def heads(self) -> int:
        """Query heads, which tensor parallelism must divide."""
        return max(layer.attention.heads for layer in self.kinds if not isinstance(layer.attention, LinearAttention))
