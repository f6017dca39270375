"""Ling 2.5, 2.6, and 3: latent attention in the last layer of each group, and linear attention in the others.

After ``bailing_moe_linear.py`` and ``bailing_moe_v3.py`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention, LightningAttention
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.families.latent import latent_attention
from vmn.core.planning.model.form import Form


def bailing(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: vLLM refuses a field; the message is vLLM's own.
        LookupError: a field is missing.
    """
    count, group = int(config["num_hidden_layers"]), int(config["layer_group_size"])
    whole = count // group * group
    latent, linear = _latent(config), _linear(config)
    dense, experts = Dense(int(config["intermediate_size"])), _experts(config)
    layers = [
        Layer.of(
            latent if (index + 1) % group == 0 or index >= whole else linear,
            dense if index < int(config.get("first_k_dense_replace") or 0) else experts,
        )
        for index in range(count)
    ]
    return Form(tuple(layers))


def _linear(config: Config) -> KimiDeltaAttention | LightningAttention:
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    if "BailingMoeV3ForCausalLM" not in config["architectures"]:
        return LightningAttention(heads, size)
    if not config.get("no_kda_lora"):
        raise ConfigError("BailingMoeV3 KDA currently expects no_kda_lora=True")
    return KimiDeltaAttention(heads, size, int(config["short_conv_kernel_size"]), full_gate=True, full_forget=True)


def _latent(config: Config) -> LatentAttention:
    latent = latent_attention(config)
    kind = config.get("gated_attention_proj_granularity_type")
    return replace(latent, gate={None: 0, "head_wise": latent.heads}.get(kind, latent.heads * latent.value_size))


def _experts(config: Config) -> Experts:
    experts = replace(equal_experts(config, "num_experts", "num_shared_experts"), router_bias=True, router_bytes=4.0)
    width = int(config.get("moe_shared_expert_intermediate_size") or experts.intermediate)
    return replace(experts, shared=experts.shared // experts.intermediate * width)
