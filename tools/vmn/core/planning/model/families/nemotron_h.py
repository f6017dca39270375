"""Nemotron-H (Nemotron-3 Super and Ultra): layers that are one block each, a Mamba-2 mixer, attention, or experts.

After ``nemotron_h.py`` and ``layers/mamba/mamba_mixer2.py`` of vLLM 0.33.
"""

from __future__ import annotations

from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.states import Mamba2
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.form import Form


def nemotron_h(config: Config) -> Form:
    """Return the form: layers in the order of ``hybrid_override_pattern``.

    Raises:
        ConfigError: the pattern has a letter that is not known.
    """
    blocks = {
        "M": Layer.of(_mamba(config)),
        "*": Layer.of(_attention(config)),
        "E": Layer.of(_experts(config)),
        "-": Layer.of(Dense(int(config["intermediate_size"]), gated=False)),
    }
    names = config.get("hybrid_override_pattern") or config.get("layers_block_type") or ""
    pattern = [LETTERS.get(str(name), str(name)) for name in names]
    unknown = sorted(set(pattern) - set(blocks))
    if unknown or not pattern:
        raise ConfigError(
            f"hybrid_override_pattern has {', '.join(unknown) or 'no layers'}: the planner knows M, *, E, -"
        )
    drafted = config.get("mtp_hybrid_override_pattern") or config.get("mtp_layers_block_type") or ""
    ahead = [blocks[LETTERS.get(str(name), str(name))] for name in drafted]
    drafts = [Layer.of(DraftInput(), *ahead[0].blocks), *ahead[1:]] if ahead else []
    return Form(tuple(blocks[name] for name in pattern), tuple(drafts), rotated=0)


LETTERS = {"mamba": "M", "attention": "*", "moe": "E", "mlp": "-"}
"""Letters of the pattern, by their words in ``layers_block_type``."""


def _mamba(config: Config) -> Mamba2:
    return Mamba2(
        heads=int(config["mamba_num_heads"]),
        size=int(config["mamba_head_dim"]),
        groups=int(config["n_groups"]),
        state=int(config["ssm_state_size"]),
        convolution=int(config["conv_kernel"]),
        recurrent_bytes=2 if config.get("mamba_ssm_cache_dtype") in ("bfloat16", "float16") else 4,
    )


def _attention(config: Config) -> Attention:
    size = int(config["head_dim"])
    return Attention(int(config["num_attention_heads"]), int(config["num_key_value_heads"]), size, size)


def _experts(config: Config) -> Experts | None:
    if not config.get("n_routed_experts"):
        return None
    width = int(config["moe_intermediate_size"])
    shared = int(config.get("moe_shared_expert_intermediate_size") or width) * int(config.get("n_shared_experts") or 0)
    return Experts(
        count=int(config["n_routed_experts"]),
        active=int(config["num_experts_per_tok"]),
        intermediate=width,
        shared=shared,
        router_bias=True,
        latent=int(config.get("moe_latent_size") or 0),
        gated=False,
    )
