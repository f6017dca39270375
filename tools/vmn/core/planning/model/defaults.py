"""What vLLM takes for fields that ``config.json`` may leave out, because they have the default of their class.

The classes are those of transformers 5.20 (``models/*/configuration_*.py``) and of vLLM 0.33
(``transformers_utils/configs``). ``DEFAULTS`` has a field only where a missing one would otherwise mean something else
to the planner; without the other fields, the planner refuses the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

from vmn.core.planning.model.architecture import Config

Fields = Mapping[str, int | bool | str | None]

ALIASES: Mapping[str, tuple[str, ...]] = {
    "full_attention_interval": ("layer_types",),
    "n_shared_experts": ("num_shared_experts",),
    "num_nextn_predict_layers": ("num_mtp_layers",),
    "sliding_window_pattern": ("layer_types", "sliding_windows", "global_attn_every_n_layers"),
}
"""Fields that say the same: if one of them is there, the default of the first does not count."""

_WHOLE: Fields = {"use_sliding_window": False}
_DEEPSEEK_V3: Fields = {"first_k_dense_replace": 3, "kv_lora_rank": 512, "n_shared_experts": 1, "q_lora_rank": 1536}
_HYBRID_QWEN: Fields = {"full_attention_interval": 4, "head_dim": 256}
DEFAULTS: Mapping[str, Fields] = {
    "afmoe": {
        "global_attn_every_n_layers": 4,
        "head_dim": 128,
        "num_dense_layers": 1,
        "num_shared_experts": 2,
        "sliding_window": 1024,
    },
    "axk1": {"first_k_dense_replace": 1, "kv_lora_rank": 512, "n_shared_experts": 1, "q_lora_rank": 1536},
    "bailing_hybrid": {"first_k_dense_replace": 2, "num_shared_experts": 1},
    "beam": {"num_key_value_heads": 4, "sliding_window": 4096},
    "cohere2_moe": {"head_dim": 128, "sliding_window": 4096, "sliding_window_pattern": 4, "tie_word_embeddings": True},
    "deepseek_v2": {"kv_lora_rank": 512, "n_shared_experts": 2, "q_lora_rank": 1536},
    "deepseek_v3": _DEEPSEEK_V3,
    "deepseek_v32": _DEEPSEEK_V3,
    "deepseek_v4": {"n_shared_experts": 1, "num_nextn_predict_layers": 1},
    "exaone_moe": {
        "first_k_dense_replace": 1,
        "num_key_value_heads": 32,
        "num_shared_experts": 1,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,
    },
    "gemma3_text": {"head_dim": 256, "num_key_value_heads": 4, "sliding_window": 4096, "sliding_window_pattern": 6},
    "glm4_moe": {"first_k_dense_replace": 1, "n_shared_experts": 1, "num_key_value_heads": 8},
    "glm5_next_text": {"n_shared_experts": 1, "q_lora_rank": 1536},
    "glm_moe_dsa": {
        "first_k_dense_replace": 3,
        "index_head_dim": 128,
        "index_n_heads": 32,
        "index_topk": 2048,
        "kv_lora_rank": 512,
        "n_shared_experts": 1,
        "q_lora_rank": 2048,
    },
    "gpt_oss": {"head_dim": 64, "num_key_value_heads": 8, "sliding_window": 128},
    "hy_v3": {"head_dim": 128, "num_key_value_heads": 8, "num_shared_experts": 1},
    "hy_v4": {
        "enable_ihc": True,
        "gated_mla": True,
        "gating_type": "elementwise",
        "learnable_sink": True,
        "hc_mult": 4,
        "n_shared_experts": 1,
        "num_nextn_predict_layers": 1,
    },
    "kimi_k2": _DEEPSEEK_V3,
    "laguna": {"head_dim": 128},
    "llama4_text": {
        "attention_chunk_size": 8192,
        "head_dim": 128,
        "intermediate_size_mlp": 16384,
        "num_key_value_heads": 8,
    },
    "longcat_flash": {"q_lora_rank": 1536, "zero_expert_num": 256},
    "minimax_m2": {"head_dim": 128, "num_key_value_heads": 8},
    "ministral3": {"head_dim": 128, "num_key_value_heads": 8},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "mistral4": {"kv_lora_rank": 256, "n_shared_experts": 1, "q_lora_rank": 1024},
    "mixtral": {"num_key_value_heads": 8},
    "nemotron_h": {"n_shared_experts": 1},
    "qwen2": {"num_key_value_heads": 32, **_WHOLE},
    "qwen3": {"head_dim": 128, "num_key_value_heads": 32, **_WHOLE},
    "qwen3_5_moe_text": {"num_key_value_heads": 2, "shared_expert_intermediate_size": 512, **_HYBRID_QWEN},
    "qwen3_5_text": {"num_key_value_heads": 4, **_HYBRID_QWEN},
    "qwen3_moe": {"num_key_value_heads": 4, **_WHOLE},
    "qwen3_next": {"num_key_value_heads": 2, "shared_expert_intermediate_size": 512, **_HYBRID_QWEN},
    "qwen3_vl_moe_text": {"num_key_value_heads": 16},
    "qwen3_vl_text": {"head_dim": 128, "num_key_value_heads": 32},
    "qwen4_exp_text": {
        "heads_per_ngram": 8,
        "ngram_size": 3,
        "ple_conv_kernel_size": 4,
        "shared_expert_intermediate_size": 512,
    },
}
"""The defaults of a class, by its ``model_type``. vLLM reads Kimi K2 and DeepSeek V3.2 with that of DeepSeek V3."""


def with_defaults(config: Config) -> Config:
    """Return a configuration with the fields of its class that it lacks; a field that is null stays so."""
    fields = DEFAULTS.get(str(config.get("model_type", "")), {})
    missing = {name: value for name, value in fields.items() if not _is_given(config, name)}
    return {**missing, **config}


def _is_given(config: Config, name: str) -> bool:
    return name in config or any(config.get(other) is not None for other in ALIASES.get(name, ()))
