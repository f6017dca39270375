"""Why vLLM or the chart refuses a layout. Each reason says what would work instead.

``tests/engine/test_refusals.py`` asks vLLM itself for the texts that it prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Mixer
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.gpus import Gpu
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import CHECKPOINT, layer_matrices, stored_kinds
from vmn.core.planning.model.architecture import Architecture

NETWORKS = ("tcp", "roce", "infiniband", "nvlink")
"""Networks between nodes, the slowest first."""


@dataclass(frozen=True)
class Cluster:
    """The nodes of one group.

    Attributes:
        nodes: number of nodes.
        gpus_per_node: GPUs of each node.
        network: network between the nodes.
        forced: whether to allow tensor parallelism over TCP.
    """

    nodes: int
    gpus_per_node: int
    network: str = "tcp"
    forced: bool = False

    @property
    def gpus(self) -> int:
        """The number of GPUs of all nodes."""
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True)
class Refusal:
    """Why a layout is refused.

    Attributes:
        part: the part of the layout, by the name of its field.
        text: the reason, and what would work instead.
        vllm: what vLLM 0.32 prints, empty where it has no message.
    """

    part: str
    text: str
    vllm: str = ""


def refusal(
    model: Architecture, layout: Layout, cluster: Cluster, gpu: Gpu | None = None, kv_dtype: str = "auto"
) -> Refusal | None:
    """Return why a layout is refused, None when it is not."""
    return next(refusals(model, layout, cluster, gpu, kv_dtype), None)


def refusals(
    model: Architecture, layout: Layout, cluster: Cluster, gpu: Gpu | None = None, kv_dtype: str = "auto"
) -> Iterator[Refusal]:
    """Yield all reasons why a layout, or a type of the KV cache, is refused, with those of its GPU if it is known."""
    if gpu:
        yield from _kernels(model, gpu)
    if vllm_message := next(filter(None, (block.refused_cache(kv_dtype) for block in model.blocks)), ""):
        yield Refusal("kv_dtype", f"vLLM has no kernels for a KV cache of type {kv_dtype} here", vllm_message)
    if layout.gpus != cluster.gpus:
        yield Refusal("gpus", f"the layout has {layout.gpus} ranks, but the nodes have {cluster.gpus} GPUs")
    yield from _divisors(model, layout)
    yield from _partition(model, layout)
    yield from _blocks(model, layout)
    yield from _groups(model, layout)
    yield from _data(model, layout, cluster)
    yield from _decode_context(model, layout)
    if spans_nodes(layout, cluster) and cluster.network == "tcp" and not cluster.forced:
        slow = "which is several times slower than pipeline parallelism: use RDMA, or --force"
        yield Refusal("tensor", f"tensor parallelism over {layout.tensor} GPUs spans nodes over TCP, {slow}")


def spans_nodes(layout: Layout, cluster: Cluster) -> bool:
    """Return whether the ranks of a tensor parallel group are on several nodes."""
    return layout.tensor > cluster.gpus_per_node or cluster.gpus_per_node % layout.tensor != 0


def _divisors(model: Architecture, layout: Layout) -> Iterator[Refusal]:
    if model.heads % layout.tensor:
        vllm_message = (
            f"Total number of attention heads ({model.heads}) must be divisible by tensor parallel size "
            f"({layout.tensor})."
        )
        yield Refusal("tensor", f"tensor {layout.tensor} does not divide {model.heads} attention heads", vllm_message)
    for block in model.blocks:
        if isinstance(block, Attention) and block.kv_heads % layout.tensor and layout.tensor % block.kv_heads:
            yield Refusal(
                "tensor",
                f"tensor {layout.tensor} neither divides {block.kv_heads} KV heads nor is a multiple of them",
            )
    for rule in model.rules:
        cut = rule.starts and any(begin not in rule.starts for begin, _ in model.stages(layout.pipeline))
        if getattr(layout, rule.part) > rule.most or cut:
            yield Refusal(rule.part, rule.text, rule.vllm)
    if layout.pipeline > model.depth:
        yield Refusal("pipeline", f"pipeline {layout.pipeline} is more than {model.depth} layers")
    if layout.expert and not model.is_moe:
        vllm_message = "Number of experts in the model must be greater than 0 when expert parallelism is enabled."
        yield Refusal("expert", "expert parallelism needs a mixture of experts", vllm_message)


def _partition(model: Architecture, layout: Layout) -> Iterator[Refusal]:
    """Yield why layers can't be dealt out to stages as ``VLLM_PP_LAYER_PARTITION`` says (``get_pp_indices``)."""
    counts = model.partition
    if counts is None:
        return
    if len(counts) != layout.pipeline:
        text = f"VLLM_PP_LAYER_PARTITION has {len(counts)} stages, but the layout has {layout.pipeline}"
        yield Refusal("partition", text, f"len(partitions)={len(counts)} does not match pp_size={layout.pipeline}.")
    elif sum(counts) != model.depth:
        text = f"VLLM_PP_LAYER_PARTITION has {sum(counts)} layers, but the model has {model.depth}"
        line = f"sum(partitions)={sum(counts)} does not match num_hidden_layers={model.depth}."
        yield Refusal("partition", text, line)


def _blocks(model: Architecture, layout: Layout) -> Iterator[Refusal]:
    """Yield what divides blocks of FP8 weights that share a scale (``validate_fp8_block_shape``)."""
    for layer, formats in stored_kinds(model):
        mlp = layer.mlp
        if not isinstance(mlp, Dense | Experts):
            continue
        parts = zip(layer_matrices(model, layer, layout, CHECKPOINT), formats, strict=True)
        rows = {matrix.group: form.block[0] for matrix, form in parts if form and form.block}
        width = mlp.intermediate if isinstance(mlp, Dense) else mlp.shared
        dense, routed = rows.get("feed-forward"), rows.get("experts")
        if dense and width % (dense * layout.tensor) and width:
            yield Refusal(
                "tensor",
                f"{width} elements over tensor {layout.tensor} cut the blocks of {dense} that share an FP8 scale",
                f"Weight output_partition_size = {width // layout.tensor} is not divisible by weight quantization "
                f"block_n = {dense}.",
            )
        ranks = layout.tensor * layout.data
        if routed and isinstance(mlp, Experts) and not layout.expert and mlp.intermediate % (32 * ranks):
            yield Refusal(
                "expert",
                f"experts of {mlp.intermediate} over {ranks} ranks cut the FP8 blocks too small: use expert parallel",
                f"The output_size of gate's and up's weight = {mlp.intermediate // ranks} is not divisible by weight "
                f"quantization block_n = {routed}.",
            )


def _groups(model: Architecture, layout: Layout) -> Iterator[Refusal]:
    """Yield what divides groups of weights that share a scale (``AWQConfig``, ``GPTQConfig``, NVFP4, and others)."""
    seen: set[tuple[str, float]] = set()
    for layer, formats in stored_kinds(model):
        for matrix, form in zip(layer_matrices(model, layer, layout, CHECKPOINT), formats, strict=True):
            key = (matrix.module, matrix.columns)
            if not form or not form.group or not matrix.columns % form.group or key in seen:
                continue
            seen.add(key)
            is_expert = matrix.group == "experts"
            ranks = layout.tensor * (layout.data if is_expert else 1)
            instead = ": use expert parallel" if is_expert and not layout.expert else ""
            yield Refusal(
                "expert" if is_expert and ranks > layout.tensor else "tensor",
                f"{matrix.columns * ranks:.0f} columns of {matrix.module} over {ranks} ranks cut the groups of "
                f"{form.group} quantized weights that share a scale{instead}",
                "The input size is not aligned with the quantized weight shape. This can be caused by too large tensor "
                "parallel size.",
            )


def _kernels(model: Architecture, gpu: Gpu) -> Iterator[Refusal]:
    """Yield what the generation of the GPU has no kernels for; a GPU whose generation is not known has all."""
    needed = next((block.capabilities for block in model.blocks if block.capabilities), ())
    if needed and gpu.capability not in (None, *needed):
        yield Refusal(
            "gpu",
            f"vLLM has no kernels of sparse attention for a {gpu.name}: they need Hopper, Blackwell, or newer",
            "No valid attention backend found for cuda",
        )


def _data(model: Architecture, layout: Layout, cluster: Cluster) -> Iterator[Refusal]:
    if layout.data == 1:
        return
    if not model.is_moe:
        yield Refusal("data", "data parallelism in one engine is for mixtures of experts: use several groups")
    if layout.tensor * layout.pipeline > cluster.gpus_per_node or layout.data % cluster.nodes:
        yield Refusal(
            "data",
            f"{layout.data} data parallel ranks of {layout.tensor * layout.pipeline} GPUs do not fit into whole nodes",
        )


def _decode_context(model: Architecture, layout: Layout) -> Iterator[Refusal]:
    count = layout.decode_context
    if count == 1:
        return
    if layout.tensor % count:
        vllm_message = f"tp_size={layout.tensor} must be divisible by dcp_size={count}."
        yield Refusal("decode_context", f"decode context {count} does not divide tensor {layout.tensor}", vllm_message)
    for attention in model.blocks:
        if not isinstance(attention, Mixer) or (isinstance(attention, LatentAttention) and not attention.window):
            continue
        if not isinstance(attention, Attention) or attention.window or attention.chunk or attention.index:
            yield Refusal("decode_context", "decode context parallelism needs full attention in every layer")
        elif vllm_message := _heads_unshared(attention, layout):
            copies = max(1, layout.tensor // attention.kv_heads)
            yield Refusal(
                "decode_context", f"decode context {count} can't share {copies} copies of each KV head", vllm_message
            )


def _heads_unshared(attention: Attention, layout: Layout) -> str:
    """Return what vLLM says if decode context ranks can't share the copies of KV heads, empty if they can."""
    count, tensor, kv_heads = layout.decode_context, layout.tensor, attention.kv_heads
    if tensor <= kv_heads:
        return (
            f"Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` ({tensor}) to be greater than "
            f"the model's total number of KV heads ({kv_heads}). Increase `--tensor-parallel-size` or set "
            "`--decode-context-parallel-size 1`."
        )
    if count > tensor // kv_heads:
        return (
            f"`--decode-context-parallel-size` ({count}) exceeds the maximum supported value ({tensor // kv_heads}) "
            f"for `--tensor-parallel-size` ({tensor}) and {kv_heads} model KV heads."
        )
    if (attention.heads // kv_heads) % count:
        return (
            f"The model's number of query heads per KV head ({attention.heads // kv_heads}) must be divisible by "
            f"`--decode-context-parallel-size` ({count}) for GQA/MQA."
        )
    return ""


def layouts(model: Architecture, cluster: Cluster) -> Iterator[Layout]:
    """Yield all layouts with as many ranks as the cluster has GPUs, including those that will be refused."""
    total = cluster.gpus
    divisors = [size for size in range(1, total + 1) if total % size == 0]
    for tensor in divisors:
        for pipeline in (size for size in divisors if total // tensor % size == 0):
            data = total // tensor // pipeline
            for expert in (False, True) if model.is_moe else (False,):
                yield Layout(tensor, pipeline, data, expert)
                for share in (size for size in divisors if 1 < size <= tensor and tensor % size == 0):
                    candidate = Layout(tensor, pipeline, data, expert, share)
                    if next(_decode_context(model, candidate), None) is None:
                        yield candidate
