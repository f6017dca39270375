"""What a rank needs at the peak of vLLM's profile run: activations, and buffers of kernels.

vLLM measures them in a run with as many tokens and requests as it will ever handle at once, so they follow from shapes,
except for what the compiler does. The terms below are the tensors that are alive at the peak of that run, according to
vLLM's source; ``docs/planner.md`` has their errors against measured starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vmn.core.planning.blocks.block import Block, ProfileStep
from vmn.core.planning.blocks.feed_forward import shared_is_copied
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import Architecture, counted_blocks, run_before
from vmn.core.planning.vllm.model_runner import on_second_runner
from vmn.core.planning.vllm.versions import Behaviour

GIB = 2**30
SAMPLER_BYTES = 15.0
"""Bytes per request and token of the vocabulary in the first runner's sampler: logits in 16 bits, three copies in 32
bits, and sorting. Fitted to six published starts of vLLM 0.19 (Llama 8B and 70B, Qwen 72B, Qwen3 30B, DeepSeek V2 Lite,
Mixtral), with residuals within 0.04 GiB."""
LOGITS_BYTES = 2.0
"""The same in the second runner, whose profile samples greedily: only the logits."""
STATES = 3
"""States of all tokens in addition to what a part of a layer computes: the residual, its input, and its output."""
FOUR_NORM_STATES = 15
"""The same with norms before and after each part in compiled code: a start of Gemma 3 27B took 2.79 GiB (0.26), but
only what its sampler needs without the compiler (0.33)."""
STREAM_STATES = 4.8
"""States of all tokens for each further residual stream (hyper-connections): the stream itself, and what is made of it
while streams are mixed. A start of GLM-5.3-Flash has 4.3 (0.33)."""
UNREAD_VERSION_FACTOR = 1.6
"""Factor by which versions before 0.19 may need more, as their source was not read: Kimi K2 on a version of November
2025 had 2.5 GiB less than the terms here predict."""
V0_ENGINE_LOW_FACTOR = 0.5
"""Factor for the least that versions before 0.8 need (DeepSeek R1 on 0.7.2 and 0.7.3: 0.24 and 0.37 GiB)."""
VISION_ENCODER_GIB = 1.5
"""Most GiB for the profile of an image encoder, which is not modelled."""
FP8_CACHE_GIB = 0.03
"""GiB that an FP8 cache adds to the weights without latent attention (starts of 0.26: tens of MiB)."""


@dataclass(frozen=True)
class Band:
    """A number that is not known exactly, in GiB unless stated otherwise."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Band) -> Band:
        """Return the sum, end by end."""
        return Band(self.low + other.low, self.expected + other.expected, self.high + other.high)


@dataclass(frozen=True)
class Batch:
    """How much vLLM handles at once, and whether it captures graphs.

    Attributes:
        tokens: ``--max-num-batched-tokens``.
        requests: ``--max-num-seqs``.
        length: ``--max-model-len``.
        eager: ``--enforce-eager``.
        drafted: tokens that multi-token prediction drafts in a step, 0 without speculative decoding.
        flashinfer: whether FlashInfer samples (``VLLM_USE_FLASHINFER_SAMPLER``), None when it is not known.
    """

    tokens: int
    requests: int
    length: int
    eager: bool = False
    drafted: int = 0
    flashinfer: bool | None = None


@dataclass(frozen=True)
class RankContext:
    """What the memory of the ranks of a stage depends on.

    Attributes:
        model: shapes of the model.
        layout: layout of the model.
        batch: how much vLLM handles at once.
        vllm: behaviour of the version.
        stage: index of the pipeline stage.
        fp8_cache: whether the KV cache has 8 bits.
        large_gpu: whether the GPU has at least 160 GiB.
        capability: first number of the GPU's compute capability, None when it is not known.
    """

    model: Architecture
    layout: Layout
    batch: Batch
    vllm: Behaviour
    stage: int
    fp8_cache: bool
    large_gpu: bool
    capability: int | None = None

    @cached_property
    def step(self) -> ProfileStep:
        """The largest step, for the blocks."""
        batch, model = self.batch, self.model
        return ProfileStep(
            tokens=batch.tokens,
            requests=batch.requests,
            length=batch.length,
            hidden=model.hidden,
            layout=self.layout,
            vllm=self.vllm,
            fp8_cache=self.fp8_cache,
            packed=model.has_packed_experts,
            capability=self.capability,
            eager=batch.eager,
            drafted=batch.drafted,
        )

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The first layer of the stage, and the layer after its last one."""
        return self.model.stages(self.layout.pipeline)[self.stage]

    @cached_property
    def counted(self) -> Mapping[Block, int]:
        """The different blocks of the stage, and how many of each it has."""
        return counted_blocks(self.model, *self.bounds)

    @property
    def states_gib(self) -> float:
        """The GiB of the states of all tokens of a step."""
        return self.batch.tokens * self.model.hidden * 2 / GIB

    @cached_property
    def moments(self) -> Sequence[_Moment]:
        """The moments of the profile run at which most is alive."""
        return _moments(self)


@dataclass(frozen=True)
class _Moment:
    """What is alive at one moment of the profile run, in GiB.

    Attributes:
        workspace: the workspace of all blocks so far, without what the weights include, and what blocks keep.
        between: what passes between operators, which compiled code keeps longer.
        fixed: what kernels allocate.
        more: what kernels allocate in addition if those run that need the most.
    """

    workspace: float
    between: float
    fixed: float = 0.0
    more: float = 0.0


def peak_activation(rank: RankContext) -> Band:
    """Return the peak activations of a rank in GiB."""
    moments = rank.moments

    def peak(compiled: float, kept: float, scale: float, more: float = 0.0) -> float:
        factor = 1.0 if rank.batch.eager else compiled
        return max(
            one.workspace * kept + (one.between * factor + one.fixed + one.more * more) * scale for one in moments
        )

    gathered, spread = _gathered_states(rank), rank.vllm.spread
    low, high = (0.7, 1.2) if gathered else spread.eager
    least_factor, factor, most_factor = spread.compiled
    least = V0_ENGINE_LOW_FACTOR if rank.vllm.since < (0, 8) else 1.0
    unread = UNREAD_VERSION_FACTOR if rank.vllm.since < (0, 19) else 1.0
    vision = VISION_ENCODER_GIB if rank.model.extra_weights and not rank.stage else 0.0
    return Band(
        max(0.0, peak(least_factor, low, spread.eager[0]) * least - spread.slack),
        peak(factor, 1.0, 1.0) + 2 * gathered,
        (max(peak(most_factor, high, spread.eager[1], more=1.0), 0.3) + 3 * gathered) * unread + vision + spread.slack,
    )


def staying_activation(rank: RankContext) -> float:
    """Return the GiB of the activations that stay allocated: the workspace, and rows of the sampler."""
    moments = rank.moments
    has_rows = rank.stage == rank.layout.pipeline - 1 and not rank.batch.flashinfer
    return max(one.workspace for one in moments) + (_top_rows(rank) if has_rows else 0.0)


def _moments(rank: RankContext) -> list[_Moment]:
    """Return the moments at which most is alive: one for each kind of block, the end of the model, and the sampler.

    All layers share one workspace (``WorkspaceManager``), which grows to what its largest user so far needs and stays.
    So the last layer of a kind decides, and the order of layers counts.
    """
    step, early = rank.step, _early_workspace(rank)
    begin, end = rank.bounds
    received = 1 if rank.stage and not rank.vllm.counts_kept else 0  # otherwise they are kept, see overhead.py
    states = (_states(rank) + received) * rank.states_gib
    needs = {block: _need(block, step) for block in rank.counted}
    kept = sum(block.kept(step) * count for block, count in rank.counted.items())
    drafting = {block for layer in rank.model.layers[max(begin, rank.model.depth) : end] for block in layer.blocks}
    held, draft_states = _held(rank), _draft_states(rank)
    found = []
    for (block, is_replayed), run in run_before(rank.model, begin, end).items():
        after = max(early, *(needs[other][0] for other in run))
        _, between, fixed = needs[block]
        more = held * is_replayed + draft_states * (block in drafting)
        found.append(_Moment((after - early + kept) / GIB, between / GIB + states + more, fixed / GIB))
    if rank.stage == rank.layout.pipeline - 1:
        workspace = max(early, *(need[0] for need in needs.values()))
        last = (workspace - early + kept) / GIB
        found.append(_Moment(last, rank.model.merge_states * rank.states_gib))
        found.append(_Moment(last, 0.0, *_sampler(rank)))
    return found


def _draft_states(rank: RankContext) -> float:
    """Return the GiB of the states that stay alive while a layer for multi-token prediction runs.

    One of them is what the layer gets, of all streams in some models.
    """
    mtp = rank.model.mtp
    if mtp is None:
        return 0.0
    return rank.states_gib * (mtp.alive + (rank.model.streams - 1 if mtp.fed_streams else 0))


def _held(rank: RankContext) -> float:
    """Return the GiB of what layers hold that run on the last tokens of requests (DeepSeek V4.1).

    These layers run as one (``DecoderReplayLayers``), which holds the inputs of the first one. They do so on a stage
    that has all of them, and without sequence parallelism (``_decoder_replay_supported``).
    """
    first, (begin, end) = rank.model.replayed_from, rank.bounds
    if first is None or shared_is_copied(rank.layout) or first < begin or end < rank.model.depth:
        return 0.0
    return (rank.model.streams + 1) * rank.states_gib


def _need(block: Block, step: ProfileStep) -> tuple[float, float, float]:
    """Return the bytes of a block: its workspace, what passes between its operators, and what its kernels allocate."""
    return block.workspace(step), block.peak(step) + block.dense_peak(step), block.buffer(step)


def _gathered_states(rank: RankContext) -> float:
    """Return the GiB of the states of all ranks, which the experts of each rank get with data parallelism."""
    if rank.layout.data == 1 or not rank.model.is_moe:
        return 0.0
    return rank.batch.tokens * rank.layout.data * rank.model.hidden * 2 / GIB


def _sampler(rank: RankContext) -> tuple[float, float]:
    """Return the GiB that sampling needs on the last stage, with one token of each request, and how many more.

    It is more with FlashInfer's sampler, which runs by default, but not in most starts that were measured.
    """
    states = rank.states_gib
    logits = min(rank.batch.requests, rank.batch.tokens) * rank.model.vocabulary / GIB
    if rank.vllm.logits_bytes:
        triton = logits * rank.vllm.logits_bytes + _top_rows(rank) + states
        flashinfer = logits * (rank.vllm.flashinfer_bytes or rank.vllm.logits_bytes) + states
        if rank.batch.flashinfer is None:
            return triton, max(0.0, flashinfer - triton)
        return (flashinfer, 0.0) if rank.batch.flashinfer else (triton, 0.0)
    if not on_second_runner(rank.model, rank.vllm):
        return logits * SAMPLER_BYTES + states, 0.0
    parts = 2 + 1 / rank.layout.tensor if rank.layout.tensor > 1 else 1  # gathered, put in order, and its own part
    return logits * LOGITS_BYTES * parts + 3 * states, 0.0


def _top_rows(rank: RankContext) -> float:
    """Return the GiB that the sampler keeps for the most likely tokens."""
    return min(rank.vllm.top_rows, rank.batch.requests) * rank.model.vocabulary * 4 / GIB


def _states(rank: RankContext) -> float:
    """Return how many states of all tokens are alive in addition to what a part of a layer computes."""
    if rank.model.states:
        return rank.model.states
    if rank.model.has_four_norms and not rank.batch.eager:
        return FOUR_NORM_STATES
    return STATES + STREAM_STATES * (rank.model.streams - 1)


def _early_workspace(rank: RankContext) -> float:
    return max(block.early_workspace(rank.step) for block in rank.model.blocks)


def _begun_group(rank: RankContext) -> float:
    """Return the bytes of a stage that begins with a layer whose picked tokens are those of an earlier stage's layer.

    It makes a group of its own (``SparseMLAIndexGroupBuilder.register_layer``).
    """
    begin, end = rank.bounds
    layers = rank.model.layers[begin:end] if begin else ()
    blocks = [block for layer in layers for block in layer.blocks if isinstance(block, LatentAttention)]
    if not blocks or blocks[0].index_heads or not blocks[0].groups_layers:
        return 0.0
    return replace(blocks[0], index_heads=1).own_buffers(rank.step)


def fixed_buffers(rank: RankContext) -> float:
    """Return the GiB of buffers that are allocated with the weights, and that vLLM counts as weights.

    Each layer for drafts allocates the shared ones again (``deepseek_v32/nvidia/mtp.py``): vLLM lets it use those of
    the model only later, and keeps them.
    """
    shared = max(block.buffers(rank.step) for block in rank.model.blocks)
    shared += sum(block.own_buffers(rank.step) * count for block, count in rank.counted.items())
    shared += _begun_group(rank)
    if rank.stage == rank.layout.pipeline - 1:
        drafts = rank.model.layers[rank.model.depth :]
        shared += sum(max(block.buffers(rank.step) for block in layer.blocks) for layer in drafts)
    is_grouped = not rank.model.is_latent and any(isinstance(block, Attention) for block in rank.model.blocks)
    own = FP8_CACHE_GIB if rank.fp8_cache and is_grouped else 0.0
    return own + (shared + _early_workspace(rank)) / GIB
