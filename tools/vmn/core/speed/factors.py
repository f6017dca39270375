"""The numbers of the formula that were fitted to timed calls, in one place.

``benchmarks/speed/fit.py`` fits them, and ``docs/speed.md`` has what remains unexplained.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Factors:
    """Shares of what a GPU can do, and fixed times in seconds.

    Fitted on vLLM 0.33.0, NVIDIA H200, 2026-11-28, unless a line says otherwise.

    Attributes:
        bandwidth: share of the memory's bandwidth for weights and the KV cache.
        flops: share of the FLOP/s that large matrices in 16 bits reach, from ``LARGE_PASS`` tokens on.
        small_pass: share of that share which fewer tokens reach.
        fp8_flops: share of the FLOP/s in 8 bits.
        expert_flops: share of the FLOP/s in the experts' kernels.
        attention_flops: share of the FLOP/s in attention over prompts.
        latent_flops: the same in latent attention over compressed keys, while decoding.
        attention_fixed: seconds of a layer's attention in a CUDA graph however small the batch is.
        norm_fixed: seconds more with norms of queries and keys.
        latent_fixed: seconds more with latent attention.
        state_fixed: seconds more with a state instead of a KV cache.
        index_fixed: seconds more with an indexer.
        mlp_fixed: seconds of a dense feed-forward part.
        expert_fixed: seconds more with routed experts.
        unpack_fixed: seconds more with experts in 4 bits on a GPU that can't compute with them (2026-12-01).
        unpack_bandwidth: share of the bandwidth for their weights in addition (2026-12-01).
        elementwise: reads and writes of a token's state for each layer, in states.
        call: seconds of a call: to the engine's process, first launch, result back.
        prompt_token: seconds of the host for each token of a prompt.
        request_step: seconds of the host for each running request and step.
        host_dense: seconds of the host for a dense layer that no graph holds.
        host_expert: the same with experts.
        host_tensor: seconds more for a layer whose ranks exchange.
        stage_step: seconds of each step in which stages hand over.
    """

    bandwidth: float = 0.89
    flops: float = 0.733
    small_pass: float = 0.95
    fp8_flops: float = 0.60
    expert_flops: float = 0.45
    attention_flops: float = 0.54
    latent_flops: float = 0.45
    attention_fixed: float = 27e-6
    norm_fixed: float = 5e-6
    latent_fixed: float = 20e-6
    state_fixed: float = 30e-6
    index_fixed: float = 30e-6
    mlp_fixed: float = 20e-6
    expert_fixed: float = 6e-6
    unpack_fixed: float = 15e-6
    unpack_bandwidth: float = 0.6
    elementwise: float = 16.0
    call: float = 4.4e-3
    prompt_token: float = 0.8e-6
    request_step: float = 7.5e-6
    host_dense: float = 0.6e-3
    host_expert: float = 1.2e-3
    host_tensor: float = 0.15e-3
    stage_step: float = 0.13e-3


LARGE_PASS = 2048
"""Tokens of a pass from which matrices reach the share ``flops``."""
FITTED = Factors()
"""The factors that a plan uses without ``--calibrate-speed``."""
