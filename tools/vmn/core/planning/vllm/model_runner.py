"""On which of vLLM's two model runners a model runs, which affects what is in flight and what the profile measures."""

from __future__ import annotations

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.vllm.versions import Behaviour

SECOND_RUNNER_FIRST = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM")
"""Architectures that 0.23 runs on the second runner (``DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES``, in published notes)."""
SECOND_RUNNER_EXPERTS = ("DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM")
"""Mixtures of experts that 0.26 runs there too (the same, in notes on 0.24 and 0.27)."""


def batches_in_flight(model: Architecture, layout: Layout, vllm: Behaviour) -> int:
    """Return how many batches are in flight (``max_concurrent_batches``); a window also keeps their tokens.

    Each pipeline stage has one; asynchronous scheduling adds one, which the first runner supports for one stage only.
    """
    more = vllm.overlap and (layout.pipeline == 1 or on_second_runner(model, vllm))
    return layout.pipeline + more


def on_second_runner(model: Architecture, vllm: Behaviour) -> bool:
    """Return whether a version runs a model on its second model runner (``use_v2_model_runner``)."""
    match vllm.runner_v2:
        case "all":
            return True
        case "dense":
            return not model.is_hybrid and (not model.is_moe or model.kind in SECOND_RUNNER_EXPERTS)
        case "few":
            return model.quantization is None and model.kind in SECOND_RUNNER_FIRST
        case _:
            return False
