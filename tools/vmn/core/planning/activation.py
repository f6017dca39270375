"""What a rank needs at its peak besides weights and KV cache: activations, NCCL's buffers, CUDA graphs.

vLLM measures these in a run with as many tokens and requests as it will ever have at once, so they follow from shapes,
up to what the compiler and the libraries do. The terms below are the tensors that are alive at that run's peak, after
vLLM's source; ``docs/planner.md`` has their errors against measured start-ups.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.architecture import Architecture, Attention, Dense, Experts, LatentAttention
from vmn.core.planning.layout import Layout
from vmn.core.planning.versions import Behaviour, graph_sizes
from vmn.core.planning.weights import expert_share

GIB = 2**30
SAMPLER_BYTES = 15.0
"""Per request and token of the vocabulary in the first runner's sampler: logits in 16 bits, three copies in 32 bits and
sorting. Fitted on six published starts of vLLM 0.19 (Llama 8B and 70B, Qwen 72B, Qwen3 30B, DeepSeek V2 Lite, Mixtral),
residuals within 0.04 GiB."""
LOGITS_BYTES = 2.0
"""The same in the second runner, whose profile samples greedily: the logits alone."""
CONTEXT_TOKENS = 64 * 1024
"""Most tokens that latent attention decompresses at once (``determine_chunked_prefill_workspace_size``)."""
SINGLE_NON_TORCH = 0.22
"""GiB outside of PyTorch on one GPU (start-ups of 0.19 and 0.26 on H100 and H200: 0.22 to 0.25)."""
GROUP_NON_TORCH = 0.07
"""GiB with several GPUs, where NCCL's buffers are made before vLLM measures (0.26 on H200: 0.06 to 0.07)."""
GROUP_NON_TORCH_EARLY = 2.1
"""GiB with tensor parallelism before 0.26, which made them later (0.19 on H100: 2.07 to 2.21)."""


@dataclass(frozen=True)
class Band:
    """A number that can't be known exactly. GiB unless said otherwise."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Band) -> Band:
        """Return the sum, end by end."""
        return Band(self.low + other.low, self.expected + other.expected, self.high + other.high)


@dataclass(frozen=True)
class Batch:
    """How much vLLM takes on at once, and whether it captures graphs.

    Attributes:
        tokens: ``--max-num-batched-tokens``.
        requests: ``--max-num-seqs``.
        length: ``--max-model-len``.
        eager: ``--enforce-eager``.
    """

    tokens: int
    requests: int
    length: int
    eager: bool = False


def peak_activation(model: Architecture, layout: Layout, batch: Batch, vllm: Behaviour, stage: int) -> Band:
    """Return the peak of activations of a rank, in GiB.

    Args:
        model: its shapes.
        layout: how it is spread.
        batch: how much is taken on at once.
        vllm: the version's behaviour.
        stage: index of the rank's pipeline stage.
    """
    states = batch.tokens * model.hidden * 2 / GIB
    kept = _workspace(model, layout, batch)
    received = states if stage else 0.0
    forward = max(_attention_peak(model, layout, batch), _dense_peak(model, layout, batch)) + 3 * states + received
    sampler = 0.0
    if stage == layout.pipeline - 1:
        second = vllm.runner_v2 == "all" or (vllm.runner_v2 == "dense" and _is_plain(model))
        each = LOGITS_BYTES if second else SAMPLER_BYTES
        sampler = batch.requests * model.vocabulary * each / GIB + states * (3 if second else 1)
    expected = kept + max(forward, sampler)
    gathered = _gathered(model, layout, batch)
    # Compiled code may keep more tensors alive at once than eager code: up to twice the forward part was seen.
    high = kept + max(forward * (1.0 if batch.eager else 2.0), sampler, 0.3)
    return Band(expected * 0.95, expected + gathered.expected, high * 1.05 + gathered.high)


def _is_plain(model: Architecture) -> bool:
    return not (model.is_moe or model.is_latent or model.is_hybrid)


def _workspace(model: Architecture, layout: Layout, batch: Batch) -> float:
    """Return the two buffers of fused experts, which stay (``TritonExperts.workspace_shapes``): GiB."""
    experts = next((layer.mlp for layer in model.layers if isinstance(layer.mlp, Experts)), None)
    if experts is None:
        return 0.0
    _, width = expert_share(experts, layout)
    rows = batch.tokens * experts.active
    return rows * 2 * (max(width, model.hidden) + max(2 * width, model.hidden)) / GIB


def _gathered(model: Architecture, layout: Layout, batch: Batch) -> Band:
    """Return what data parallelism adds: each rank's experts see the tokens that all ranks gathered."""
    experts = next((layer.mlp for layer in model.layers if isinstance(layer.mlp, Experts)), None)
    if experts is None or layout.data == 1:
        return Band(0.0, 0.0, 0.0)
    one = batch.tokens * experts.active * model.hidden * 2 / GIB
    return Band(0.0, one * layout.data * 0.5, one * layout.data * 1.5)


def _attention_peak(model: Architecture, layout: Layout, batch: Batch) -> float:
    return max(_one_attention_peak(layer.attention, layout, batch) for layer in set(model.layers))


def _one_attention_peak(attention: object, layout: Layout, batch: Batch) -> float:
    """Return queries, keys, values and output of a layer, and what latent attention decompresses: GiB."""
    if isinstance(attention, LatentAttention):
        heads = attention.heads / layout.tensor
        context = min(max(8 * batch.length, 4 * batch.requests * 16), CONTEXT_TOKENS)
        decompressed = context * heads * (attention.nope_size + attention.value_size)
        query = batch.tokens * heads * (attention.nope_size + attention.rope_size + attention.value_size)
        return (decompressed + query) * 2 / GIB
    if isinstance(attention, Attention):
        heads = attention.heads / layout.tensor
        keys = max(1, attention.kv_heads // layout.tensor) * (attention.key_size + attention.value_size)
        return batch.tokens * 2 * (heads * (attention.key_size + attention.value_size) + keys) / GIB
    return 0.0


def _dense_peak(model: Architecture, layout: Layout, batch: Batch) -> float:
    """Return gate, up and their product of the widest dense feed-forward part: GiB."""
    widths = [layer.mlp.intermediate for layer in set(model.layers) if isinstance(layer.mlp, Dense)]
    shared = [layer.mlp.shared for layer in set(model.layers) if isinstance(layer.mlp, Experts)]
    return batch.tokens * 2 * 3 * max([*widths, *shared, 0]) / layout.tensor / GIB


def non_torch(layout: Layout, vllm: Behaviour) -> Band:
    """Return what NCCL and the CUDA libraries take after vLLM's first look at the free memory, in GiB."""
    if layout.gpus == 1:
        return Band(0.2, SINGLE_NON_TORCH, 0.3)
    if vllm.since >= (0, 26):
        return Band(0.05, GROUP_NON_TORCH, 0.5)
    if layout.tensor == 1:
        return Band(0.05, GROUP_NON_TORCH, 0.5)
    return Band(2.0, GROUP_NON_TORCH_EARLY, 2.3)


def graphs(model: Architecture, layout: Layout, batch: Batch, vllm: Behaviour, large_gpu: bool) -> Band:
    """Return what the CUDA graphs' estimate takes off the KV cache, in GiB; zero when it is not charged.

    A graph keeps some MiB for each layer of the rank. Published estimates for 51 sizes are 0.8 to 2.5 GiB; vLLM has
    also estimated ten times what graphs then took, which no band here covers.
    """
    if batch.eager or not vllm.graphs_charged or (vllm.runner_v2 == "dense" and _is_plain(model)):
        return Band(0.0, 0.0, 0.0)
    sizes = graph_sizes(batch.requests, large_gpu)
    layers = len(model.layers) / layout.pipeline
    expected = sizes * layers * 0.4 / 1024
    return Band(expected * 0.4, expected, expected * 2.5)
