"""The matrices of a decoder layer as one tensor-parallel rank has them.

What vLLM splits over tensor parallel ranks, and what it copies to each, follows its source (0.32): query, output, and
feed-forward projections and experts are split; routers, the compressing projections of latent attention, and its
indexer are copied; key and value heads are split until each rank has one, and then copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.allocator import Storage
from vmn.core.planning.model.architecture import (
    Architecture,
    Attention,
    Dense,
    Experts,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba2,
)


@dataclass(frozen=True)
class Matrix:
    """A weight as one rank has it.

    Attributes:
        group: purpose of the weight.
        module: name of its module, for the patterns of modules that are not quantized.
        elements: number of elements on this rank.
        tensor: tensor that vLLM stores it in, together with others; by default its own.
        plain: whether it is never quantized.
        each: bytes of an element if they do not depend on the model's type.
        columns: columns on this rank, if ranks share the columns instead of the rows; otherwise 0.
    """

    group: str
    module: str
    elements: float
    tensor: str = ""
    plain: bool = False
    each: float | None = None
    columns: float = 0.0


def layer_matrices(model: Architecture, layer: Layer, layout: Layout, storage: Storage) -> list[Matrix]:
    """Return the matrices of a decoder layer on one rank, without norms."""
    return [*_attention_matrices(model, layer, layout), *_mlp_matrices(model, layer.mlp, layout, storage)]


def _attention_matrices(model: Architecture, layer: Layer, layout: Layout) -> Iterator[Matrix]:
    match layer.attention:
        case Attention() as attention:
            yield from _grouped(model.hidden, attention, layout.tensor)
        case LatentAttention() as attention:
            yield from _latent(model.hidden, attention, layout.tensor)
        case LinearAttention() as attention:
            yield from _linear(model.hidden, attention, layout.tensor)
        case Mamba2() as mixer:
            yield from _mamba(model.hidden, mixer, layout.tensor)
        case KimiDeltaAttention() as mixer:
            yield from _delta(model.hidden, mixer, layout.tensor)


def _grouped(hidden: int, attention: Attention, tensor: int) -> Iterator[Matrix]:
    query = attention.heads * attention.key_size * (2 if attention.gated else 1) / tensor
    kv_heads = max(1, attention.kv_heads // tensor)
    key, value = kv_heads * attention.key_size, kv_heads * attention.value_size
    yield Matrix("attention", "self_attn.q_proj", hidden * query, "qkv_proj")
    yield Matrix("attention", "self_attn.k_proj", hidden * key, "qkv_proj")
    yield Matrix("attention", "self_attn.v_proj", hidden * value, "qkv_proj")
    output = attention.heads * attention.value_size / tensor
    yield Matrix("attention", "self_attn.o_proj", output * hidden, columns=output)
    if attention.index_heads:  # a copy on each rank, as the indexer of latent attention is
        index = (attention.index_heads + 1) * attention.index_size
        yield Matrix("attention", "self_attn.index_q_proj", hidden * index)
    biases = (query + key + value) * attention.bias + hidden * attention.output_bias
    norms = 2 * attention.key_size * attention.normed
    yield Matrix("attention", "self_attn.bias", biases + norms, plain=True)


def _latent(hidden: int, attention: LatentAttention, tensor: int) -> Iterator[Matrix]:
    heads = attention.heads / tensor
    size = attention.nope_size + attention.rope_size
    if attention.query_rank:
        yield Matrix("attention", "self_attn.q_a_proj", hidden * attention.query_rank, "fused_qkv_a_proj")
        yield Matrix("attention", "self_attn.q_b_proj", attention.query_rank * heads * size)
    else:
        yield Matrix("attention", "self_attn.q_proj", hidden * heads * size)
    compressed = hidden * (attention.kv_rank + attention.rope_size)
    yield Matrix("attention", "self_attn.kv_a_proj_with_mqa", compressed, "fused_qkv_a_proj")
    inner = heads * (attention.nope_size + attention.value_size)
    yield Matrix("attention", "self_attn.kv_b_proj", attention.kv_rank * inner)
    output = heads * attention.value_size
    yield Matrix("attention", "self_attn.o_proj", output * hidden, columns=output)
    yield Matrix("attention", "self_attn.g_proj", hidden * output * attention.gated)
    yield Matrix("attention", "self_attn.norms", (attention.query_rank or 0) + attention.kv_rank, plain=True)
    if attention.index_heads:
        rank = attention.query_rank or hidden
        yield Matrix("attention", "self_attn.indexer.wq_b", rank * attention.index_heads * attention.index_size)
        yield Matrix("attention", "self_attn.indexer.wk", hidden * attention.index_size)
        yield Matrix("attention", "self_attn.indexer.weights_proj", hidden * attention.index_heads, plain=True)


def _linear(hidden: int, attention: LinearAttention, tensor: int) -> Iterator[Matrix]:
    keys = attention.key_heads * attention.key_size / tensor
    values = attention.value_heads * attention.value_size / tensor
    yield Matrix("attention", "linear_attn.in_proj_qkvz", hidden * (2 * keys + 2 * values))
    yield Matrix("attention", "linear_attn.in_proj_ba", hidden * 2 * attention.value_heads / tensor)
    yield Matrix("attention", "linear_attn.out_proj", values * hidden, columns=values)
    small = (2 * keys + values) * attention.convolution + 4 * attention.value_heads / tensor + attention.value_size
    yield Matrix("attention", "linear_attn.conv1d", small, plain=True)


def _mamba(hidden: int, mixer: Mamba2, tensor: int) -> Iterator[Matrix]:
    """Yield the matrices of Mamba-2 (``MambaMixer2``); groups are copied until each rank has one."""
    inner = mixer.heads * mixer.size / tensor
    shared = 2 * max(1.0, mixer.groups / tensor) * mixer.state
    heads = mixer.heads / tensor
    yield Matrix("attention", "mixer.in_proj", hidden * (2 * inner + shared + heads))
    yield Matrix("attention", "mixer.out_proj", inner * hidden, columns=inner)
    small = (inner + shared) * (mixer.convolution + 1) + inner
    yield Matrix("attention", "mixer.conv1d", small, plain=True)
    yield Matrix("attention", "mixer.A", 3 * heads, each=4.0)


def _delta(hidden: int, mixer: KimiDeltaAttention, tensor: int) -> Iterator[Matrix]:
    """Yield the matrices of Kimi delta attention (``models/kimi_k3/nvidia/kda.py``)."""
    inner, heads = mixer.heads * mixer.size / tensor, mixer.heads / tensor
    low = hidden * mixer.size + mixer.size * inner
    yield Matrix("attention", "self_attn.q_proj", 3 * hidden * inner, "qkv_proj")
    yield Matrix("attention", "self_attn.f_a_proj", low)
    yield Matrix("attention", "self_attn.g_proj", hidden * inner if mixer.full_gate else low)
    yield Matrix("attention", "self_attn.b_proj", hidden * heads)
    yield Matrix("attention", "self_attn.o_proj", inner * hidden, columns=inner)
    yield Matrix("attention", "self_attn.conv1d", 3 * inner * mixer.convolution + mixer.size, plain=True)
    yield Matrix("attention", "self_attn.A_log", heads + inner, each=4.0)


def _mlp_matrices(
    model: Architecture, mlp: Dense | Experts | None, layout: Layout, storage: Storage
) -> Iterator[Matrix]:
    hidden = model.hidden
    if mlp is None:
        return
    if isinstance(mlp, Dense):
        split = mlp.intermediate / layout.tensor
        yield Matrix("feed-forward", "mlp.gate_up_proj", (2 if mlp.gated else 1) * hidden * split)
        yield Matrix("feed-forward", "mlp.down_proj", hidden * split, columns=split)
        yield Matrix("feed-forward", "mlp.bias", (2 * split + hidden) * mlp.bias, plain=True)
        return
    yield from _expert_matrices(model, mlp, layout, storage)
    yield Matrix("routers", "mlp.gate", hidden * mlp.count, plain=True)
    if mlp.latent:  # both are copied to each rank (``fc1_latent_proj``, ``fc2_latent_proj``)
        yield Matrix("feed-forward", "mlp.fc1_latent_proj", hidden * mlp.latent)
        yield Matrix("feed-forward", "mlp.fc2_latent_proj", hidden * mlp.latent)
    if mlp.shared:
        split = mlp.shared if shared_is_copied(layout) else mlp.shared / layout.tensor
        yield Matrix("feed-forward", "mlp.shared_experts.gate_proj", mlp.ups * hidden * split)
        yield Matrix("feed-forward", "mlp.shared_experts.down_proj", hidden * split, columns=split)
        yield Matrix("routers", "mlp.shared_expert_gate", hidden * mlp.shared_gate, plain=True)


def _expert_matrices(model: Architecture, mlp: Experts, layout: Layout, storage: Storage) -> Iterator[Matrix]:
    hidden, module = mlp.latent or model.hidden, "mlp.experts.0.gate_proj"
    experts, width = expert_share(mlp, layout)
    biases = experts * (mlp.ups * width + hidden) * mlp.bias
    if model.quantization and model.quantization.method == "mxfp4":
        for name, size in storage.mxfp4_bytes(hidden, width).items():
            yield Matrix("experts", module, experts * size, name, each=1.0)
        yield Matrix("experts", "mlp.experts.bias", biases, each=storage.mxfp4_bias_bytes)
        return
    yield Matrix("experts", module, experts * mlp.ups * hidden * width, "w13_weight")
    yield Matrix("experts", module, experts * hidden * width, "w2_weight", columns=width)
    yield Matrix("experts", "mlp.experts.bias", biases, plain=True)


def expert_share(mlp: Experts, layout: Layout) -> tuple[int, float]:
    """Return the number of experts on the fullest rank, and the number of elements of each.

    Without expert parallelism each expert is divided over tensor x data ranks; with it, whole experts are distributed,
    and the first ranks get one more if the numbers do not match.
    """
    ranks = layout.tensor * layout.data
    if layout.expert:
        return -(-mlp.count // ranks), float(mlp.intermediate)
    return mlp.count, mlp.intermediate / ranks


def shared_is_copied(layout: Layout) -> bool:
    """Return whether each rank has all shared experts, and gets other tokens (sequence parallel MoE)."""
    return layout.expert and layout.tensor > 1 and layout.data > 1
