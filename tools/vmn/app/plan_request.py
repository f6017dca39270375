"""A request for a plan, as the user makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NETWORKS = ("tcp", "roce", "infiniband", "nvlink")
"""The networks of the planner, which help does not import."""
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """A model, the hardware, parts of a layout, and vLLM's flags; None leaves a choice to the planner or to vLLM.

    Attributes:
        model: name in the registry or on the Hugging Face Hub.
        config: a ``config.json``, or the directory of a checkpoint.
        hub: whether to read the model from the Hub.
        gpu: name of the GPU.
        gpu_memory: GiB of each GPU, for one that is not known.
        nodes: nodes of one group.
        gpus_per_node: GPUs of each node.
        network: network between the nodes.
        force: whether to allow tensor parallelism between nodes over TCP.
        tensor: tensor parallel size.
        pipeline: pipeline parallel size.
        data: data parallel size.
        expert: whether to use expert parallelism.
        decode_context: decode context parallel size.
        max_model_len: vLLM's ``--max-model-len``.
        gpu_memory_utilization: vLLM's ``--gpu-memory-utilization``.
        max_num_batched_tokens: vLLM's ``--max-num-batched-tokens``.
        max_num_seqs: vLLM's ``--max-num-seqs``.
        kv_cache_dtype: vLLM's ``--kv-cache-dtype``.
        enforce_eager: vLLM's ``--enforce-eager``.
        quantization: vLLM's ``--quantization``.
        speculative_config: vLLM's ``--speculative-config``, as JSON.
        kv_offloading_per_gpu: GiB of host memory per GPU to which vLLM offloads the KV cache.
        vllm_version: version of vLLM.
        env: variables of vLLM that change what is planned, as ``NAME=VALUE``.
    """

    model: str | None = None
    config: Path | None = None
    hub: bool = False
    gpu: str
    gpu_memory: float | None = None
    nodes: int = 1
    gpus_per_node: int = 8
    network: str = "tcp"
    force: bool = False
    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: bool | None = None
    decode_context: int | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    quantization: str | None = None
    speculative_config: str | None = None
    kv_offloading_per_gpu: float | None = None
    vllm_version: str | None = None
    env: tuple[str, ...] = ()
