"""A model's shapes, read from its ``config.json``.

Sizes are numbers of elements or tokens; nothing here depends on the layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from vmn.core.planning.blocks.block import Block, FeedForward, Mixer
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import State
from vmn.core.planning.layout.sizes import stage_bounds
from vmn.core.planning.model.mtp import Mtp
from vmn.core.planning.model.quantization.format import Quantization

Config = Mapping[str, Any]


class ConfigError(Exception):
    """A ``config.json`` can't be planned; the message says which field is wrong, and why."""


@dataclass(frozen=True)
class Layer:
    """One decoder layer: its blocks, in their order. Some models have layers of one block, others of five."""

    blocks: tuple[Block, ...]

    @cached_property
    def _hash(self) -> int:
        return hash(self.blocks)

    def __hash__(self) -> int:
        """Hash once: layers are keys of what is known of their kind, and their blocks are nested."""
        return self._hash

    @classmethod
    def of(cls, *blocks: Block | None) -> Layer:
        """Return a layer of the blocks that it has."""
        return cls(tuple(block for block in blocks if block is not None))

    @cached_property
    def attention(self) -> Mixer | None:
        """The first block that passes information between tokens, None without one."""
        return next((block for block in self.blocks if isinstance(block, Mixer)), None)

    @cached_property
    def mlp(self) -> FeedForward | None:
        """The feed-forward part with the most weights, None without one."""
        found = [block for block in self.blocks if isinstance(block, FeedForward)]
        return next((block for block in found if isinstance(block, Experts)), found[0] if found else None)


@dataclass(frozen=True)
class Table:
    """A table of embeddings of n-grams (Engram).

    Attributes:
        size: bytes of the table in a checkpoint.
        in_host: whether vLLM keeps it in the memory of the host by default.
    """

    size: float
    in_host: bool


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
class Rule:
    """A combination of sizes that vLLM refuses for a model.

    Attributes:
        part: the part of the layout, by the name of its field.
        most: largest size that vLLM accepts.
        text: the reason.
        vllm: what vLLM prints.
        starts: layers with which a pipeline stage may start, empty if any layer will do.
    """

    part: str
    most: int
    text: str
    vllm: str
    starts: tuple[int, ...] = ()


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
        position_bytes: bytes of the tables of rotary positions that each rank has; blocks say which others they need.
        dtype_bytes: bytes of a weight that is not quantized, and of an activation.
        quantization: how weights are stored, None without quantization.
        kv_dtype: type of the KV cache that the checkpoint asks for, ``fp8`` or None.
        mtp: what vLLM makes of the layers for multi-token prediction, None if it has no such method for this model.
        draft_layers: those layers, which vLLM loads for speculative decoding only; empty if the planner has no shapes.
        drafts: number of such layers at the end of ``layers``.
        extra_weights: elements of what else the first stage loads (an image encoder).
        stored: exact sizes, None when only the shapes are known.
        prefixes: what the names of layers may begin with in the lists of modules of a quantization.
        streams: residual streams of a token (hyper-connections).
        states: states of all tokens that are alive beside what a part of a layer computes, 0 for those of most models.
        merge_states: states of all tokens that are alive while the model merges its streams at its end.
        replayed_from: the layer with which those begin that run on the last tokens of requests (replay), None without.
        embedding_is_copied: whether each rank has the whole embedding (Inkling).
        head_bytes: bytes of an element of the output head if they are not those of other weights (Hy4), otherwise 0.
        last_weights: bytes of 32-bit matrices of the last stage.
        tables: tables of embeddings of n-grams.
        fp8_cache_on: compute capabilities on which vLLM takes a KV cache of 8 bits by default.
        packs_pages: whether the kernels want pages of all layers side by side in a block (BLHNC).
        rules: what vLLM refuses of this model in addition to what follows from its blocks.
        partition: layers of each pipeline stage if the user deals them out, None if vLLM does.
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
    mtp: Mtp | None = None
    draft_layers: tuple[Layer, ...] = ()
    drafts: int = 0
    extra_weights: int = 0
    stored: StoredWeights | None = None
    prefixes: tuple[str, ...] = ("model.",)
    streams: int = 1
    states: float = 0.0
    merge_states: float = 0.0
    replayed_from: int | None = None
    embedding_is_copied: bool = False
    head_bytes: int = 0
    last_weights: float = 0.0
    tables: tuple[Table, ...] = ()
    fp8_cache_on: tuple[int, ...] = ()
    packs_pages: bool = False
    rules: tuple[Rule, ...] = ()
    partition: tuple[int, ...] | None = None

    @cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.hidden, self.layers, self.quantization, self.stored))

    def __hash__(self) -> int:
        """Return the hash, which is computed once: the planner looks results up by their model."""
        return self._hash

    def with_drafts(self, version: tuple[int, int]) -> Architecture:
        """Return the model with its layers for multi-token prediction, which the last stage gets.

        Args:
            version: major and minor version of vLLM, some of which refuse them beside pipeline stages.
        """
        if self.drafts:
            return self
        reason = self.mtp.needs_one_stage(version) if self.mtp else ""
        rules = (*self.rules, Rule("pipeline", 1, reason, "")) if reason else self.rules
        layers = (*self.layers, *self.draft_layers)
        return replace(self, layers=layers, drafts=len(self.draft_layers), rules=rules)

    @property
    def depth(self) -> int:
        """The number of decoder layers, without those for multi-token prediction."""
        return len(self.layers) - self.drafts

    def stages(self, pipeline: int) -> list[tuple[int, int]]:
        """Return for each pipeline stage its first layer, and the layer after its last one."""
        bounds = stage_bounds(self.depth, pipeline, self.partition)
        return [*bounds[:-1], (bounds[-1][0], len(self.layers))]

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
    def has_packed_experts(self) -> bool:
        """Whether routed experts are stored in MXFP4 for kernels of their own."""
        small = self.quantization
        return small is not None and (small.experts.name if small.experts else small.method) == "mxfp4"

    @property
    def has_block_fp8_experts(self) -> bool:
        """Whether routed experts are stored in FP8 with a scale for each block."""
        small = self.quantization
        return self.is_moe and small is not None and bool((small.experts or small.format).block)

    @cached_property
    def is_latent(self) -> bool:
        """Whether some attention is multi-head latent attention."""
        return any(isinstance(block, LatentAttention) for block in self.blocks)

    @cached_property
    def is_sparse(self) -> bool:
        """Whether attention selects tokens with an indexer (DeepSeek's sparse attention)."""
        return any(getattr(block, "index_top", 0) for block in self.blocks)

    @cached_property
    def is_hybrid(self) -> bool:
        """Whether some layers keep a state instead of a KV cache."""
        return any(isinstance(block, State) for block in self.blocks)

    @property
    def has_four_norms(self) -> bool:
        """Whether attention and feed-forward parts also have norms after them (Gemma 3)."""
        return self.kind.startswith("Gemma3")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The different blocks of all layers."""
        return tuple(dict.fromkeys(block for layer in self.kinds for block in layer.blocks))

    @cached_property
    def heads(self) -> int:
        """The number of heads, which the tensor parallel size must divide: that of the block with the fewest."""
        return min((block.split_heads for block in self.blocks if block.split_heads), default=1)


@lru_cache(maxsize=1024)
def counted_blocks(model: Architecture, begin: int, end: int) -> Mapping[Block, int]:
    """Return the different blocks of some layers of a model, and how many of each there are."""
    found: Counter[Block] = Counter()
    for layer, count in Counter(model.layers[begin:end]).items():
        for block in layer.blocks:
            found[block] += count
    return found


@lru_cache(maxsize=1024)
def run_before(model: Architecture, begin: int, end: int) -> Mapping[tuple[Block, bool], tuple[Block, ...]]:
    """Return the different blocks of some layers, each with those that have run once it runs for the last time.

    Whether a block is in a layer after ``replayed_from`` is part of the key.
    """
    first = model.replayed_from
    run: dict[Block, None] = {}
    found = {}
    for index, layer in enumerate(model.layers[begin:end], begin):
        for block in layer.blocks:
            run[block] = None
            found[block, first is not None and index > first] = tuple(run)
    return found
