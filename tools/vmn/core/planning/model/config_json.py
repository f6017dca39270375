"""Reading the shapes of a model from its ``config.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vmn.core.planning.model.architecture import Architecture, Config, ConfigError
from vmn.core.planning.model.defaults import with_defaults
from vmn.core.planning.model.families import FAMILIES
from vmn.core.planning.model.form import Form
from vmn.core.planning.model.mtp import mtp_of
from vmn.core.planning.model.plain import kind_of, number, plain
from vmn.core.planning.model.quantization.fields import kv_cache_dtype, quantization_fields
from vmn.core.planning.model.quantization.format import MXFP8_BLOCKS, Format, Quantization
from vmn.core.planning.model.quantization.methods import read_quantization
from vmn.core.planning.model.traits import TRAITS

WIDE_POSITIONS = ("gpt_oss", "deepseek", "kimi")
"""Prefixes of ``model_type`` whose tables of positions have 32 bits: by their code (gpt_oss.py of 0.32), or for
FlashInfer's kernels (deepseek_scaling_rope.py)."""
PLAIN = ("model.", "backbone.")
"""What the names of layers begin with in text models."""
WRAPPED = ("model.", "model.language_model.", "language_model.model.", "language_model.", "thinker.model.")
"""The same in multimodal models, whose wrappers rename the language model."""
UNKNOWN_FIELDS = {
    "block_configs": "layers of different widths",
    "compress_ratios": "attention over compressed tokens",
    "enable_moe_block": "experts beside a dense feed-forward part",
    "global_head_dim": "attention heads of several sizes",
    "hybrid_layer_pattern": "attention heads of several sizes",
    "hybrid_override_pattern": "layers of Mamba",
    "kv_share_layers": "layers that share a KV cache",
    "layers_block_type": "layers of Mamba",
    "linear_attn_config": "Kimi's linear attention",
    "mamba_d_state": "layers of Mamba",
    "num_kv_shared_layers": "layers that share a KV cache",
    "sparse_attention_config": "block-sparse attention",
    "ssm_state_size": "layers of Mamba",
}
"""Fields of features that the planner does not model; it must refuse them, because its numbers would be wrong."""


def read_architecture(config: Config) -> Architecture:
    """Return the shapes of a model.

    Args:
        config: content of ``config.json``; of a multimodal model the language model is planned, and its image encoder
            is counted.

    Raises:
        ConfigError: a field is missing or has an unknown form.
    """
    inner = config.get("text_config")
    text: Config = {**config, **with_defaults(inner)} if isinstance(inner, Mapping) else with_defaults(config)
    form = _form(config, text)
    mtp, quantization = mtp_of(kind_of(config), text), quantization_fields(text)
    kinds = config.get("architectures") or text.get("architectures") or [str(text.get("model_type", "unknown"))]
    return Architecture(
        kind=str(kinds[0]),
        hidden=number(text, "hidden_size"),
        vocabulary=number(text, "vocab_size"),
        layers=form.layers,
        tied=bool(text.get("tie_word_embeddings", kind_of(text).startswith("gemma"))),
        max_length=number(text, "max_position_embeddings", "model_max_length"),
        position_bytes=_position_bytes(text, form),
        dtype_bytes=2,  # vLLM loads 32-bit checkpoints with 16 bits, too
        quantization=_quantization(config, text, quantization, form),
        kv_dtype=kv_cache_dtype(quantization) if quantization else None,
        mtp=mtp,
        draft_layers=form.drafts if mtp and mtp.depth else (),
        extra_weights=_vision_elements(config.get("vision_config")),
        prefixes=WRAPPED if isinstance(inner, Mapping) else PLAIN,
        streams=form.streams,
        states=form.states,
        merge_states=form.merge_states,
        replayed_from=form.replayed_from,
        embedding_is_copied=form.embedding_is_copied,
        last_weights=form.last_weights,
        tables=form.tables,
        fp8_cache_on=form.fp8_cache_on,
        packs_pages=form.packs_pages,
        rules=form.rules,
    )


def _form(config: Config, text: Config) -> Form:
    """Return the form of a model: by the file of its family, or in the form that most models have.

    Raises:
        ConfigError: the model is not known.
    """
    for kind in (kind_of(config), kind_of(text)):
        if family := FAMILIES.get(kind):
            try:
                return family(text)
            except KeyError as error:
                raise ConfigError(f"{error.args[0]} is missing, without which the layers are not known") from error
    known = next((kind for kind in (kind_of(text), kind_of(config)) if kind in TRAITS), None)
    if known is None:
        if not kind_of(config):
            raise ConfigError("model_type is missing, without which the layers are not known")
        raise ConfigError(
            f'model_type "{kind_of(config)}" is not known to the planner: its layers may have another form'
        )
    for name, meaning in UNKNOWN_FIELDS.items():
        if text.get(name):
            raise ConfigError(f"{name} shows that the model has {meaning}, which the planner does not support")
    return plain({**text, "model_type": known})


def _quantization(config: Config, text: Config, fields: Mapping[str, object] | None, form: Form) -> Quantization | None:
    """Return how weights are stored, with the formats of experts that some models name beside it."""
    read = read_quantization(fields) if fields else None
    if read is None or fields is None:
        return read
    read = dataclasses.replace(read, skipped=(*read.skipped, *form.unquantized))
    if kind_of(config) == "kimi_k3" and read.method == "mxfp4":
        # vLLM rewrites it to the method ``mxfp4``, which is for experts only (KimiK3ForConditionalGenerationConfig).
        return dataclasses.replace(read, experts_only=True, skipped=())
    named = [fields.get("expert_dtype") or text.get("expert_dtype"), fields.get("store_dtype")]
    if any(str(name).lower() in ("fp4", "mxfp4") for name in named):
        read = dataclasses.replace(read, experts=EXPERTS_FP4)
        if kind_of(config).startswith("deepseek_v4") and read.block == MX_BLOCK:
            return read.with_format(MXFP8_BLOCKS)
    return read


MX_BLOCK = (32, 32)
"""Rows and columns of ``weight_block_size`` from which vLLM reads MXFP8 where experts are in MXFP4."""
EXPERTS_FP4 = Format("mxfp4", 0.5, 1 / 32)
"""Format of the experts of ``expert_dtype: fp4`` (DeepSeek V4) and ``store_dtype: mxfp4`` (MiMo V2). Kernels pad what
a shard cuts."""


def _position_bytes(config: Config, form: Form) -> int:
    """Return the bytes of the tables of rotary positions: one, longer when stretched, and one more for windows.

    After ``get_rope`` of 0.32; Gemma 3's windowed layers have a table of their own, which is never stretched.
    """
    if form.rotated == 0:
        return 0
    first = next((layer.attention for layer in form.layers if layer.attention), None)
    size = form.rotated or int(getattr(first, "rope_size", 0) or getattr(first, "key_size", 0))
    rows = number(config, "max_position_embeddings", "model_max_length")
    given: Config = config.get("rope_scaling") or config.get("rope_parameters") or {}
    scaling: Config = given.get("full_attention", given)
    linear = scaling.get("rope_type", scaling.get("type")) == "linear"
    second = rows if kind_of(config).startswith("gemma3") else 0
    each = 4 if kind_of(config).startswith(WIDE_POSITIONS) else 2
    return int(rows * float(scaling.get("factor", 1.0) if linear else 1.0) + second) * size * each


def _vision_elements(vision: object) -> int:
    """Return the approximate number of elements of an image encoder, by its projections and feed-forward parts."""
    if not isinstance(vision, Mapping):
        return 0
    hidden = int(vision.get("hidden_size") or vision.get("vt_hidden_size") or 0)
    inner = int(vision.get("intermediate_size") or vision.get("vt_intermediate_size") or 4 * hidden)
    layers = int(vision.get("num_hidden_layers") or vision.get("depth") or vision.get("vt_num_hidden_layers") or 0)
    return layers * (4 * hidden * hidden + 2 * hidden * inner)
