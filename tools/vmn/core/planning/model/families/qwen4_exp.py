"""Qwen3.8-Flash-Next: gated delta net, sparse attention over pooled keys, residual streams, and n-grams.

After ``models/qwen4_exp`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.block import Mixer
from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.blocks.grouped import Attention, Index
from vmn.core.planning.blocks.ngrams import LayerEmbedding
from vmn.core.planning.blocks.states import LinearAttention
from vmn.core.planning.blocks.streams import HyperConnections
from vmn.core.planning.model.architecture import Config, ConfigError, Layer, Rule, Table
from vmn.core.planning.model.families.experts import experts_beside_a_wide_one
from vmn.core.planning.model.form import Form

PADDED = 16
"""Multiple to which rows of the matrices of residual streams are padded."""
NO_STAGES = Rule(
    "pipeline",
    1,
    "the n-gram embedding needs the tokens, which only the first pipeline stage has: use pipeline 1",
    "Qwen4Exp N-gram PLE embedding requires pipeline_parallel_size=1 because non-first pipeline ranks do not receive "
    "the raw input_ids it needs. Please run with PP=1.",
)


def qwen4_exp(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: a layer has another kind of attention, or vLLM refuses a field.
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    streams, rank, hidden = int(config["hc_count"]), int(config["hc_lowrank"]), int(config["hidden_size"])
    if streams < 2:
        raise ConfigError("Qwen4Exp requires hc_count > 1")
    rows = rank + streams
    mixing = HyperConnections(streams, streams - rows % -PADDED, rank, element_bytes=2.0)
    mixers: dict[str, Mixer] = {"linear_attention": _linear(config), "full_attention": _attention(config)}
    width, looked_up = int(config.get("ple_embed_dim") or 0), set(config.get("ple_layer_ids") or [])
    size = int(config.get("ngram_size") or 1)
    lookup = LayerEmbedding(
        width,
        streams,
        hidden,
        convolution=int(config.get("ple_conv_kernel_size") or 1),
        dilation=size,
        heads=(size - 1) * int(config.get("heads_per_ngram") or 0),
    )
    layers = []
    for index in range(int(config["num_hidden_layers"])):
        kind = str(config["layer_types"][index])
        if kind not in mixers:
            raise ConfigError(f"layer_types has {kind}, which the planner does not know for this model")
        layers.append(Layer.of(lookup if index + 1 in looked_up else None, mixers[kind], _experts(config), mixing))
    # vLLM keeps them in the host (``EngramConfig.cpu_offload``), each with a size for each head that is a prime number
    # just above the base.
    tables = tuple(Table(int(config["ngram_vocab_size_base"]) * width * 2.0, in_host=True) for _ in looked_up)
    return Form(
        tuple(layers),
        drafts=(Layer.of(DraftInput(), mixers["full_attention"], _experts(config), mixing),)
        * int(config.get("mtp_num_hidden_layers") or 0),
        rotated=int(int(config["head_dim"]) * float(config.get("partial_rotary_factor") or 1.0)),
        streams=streams,
        last_weights=2.0 * streams * hidden * (2 * rank + 1),
        tables=tables,
        packs_pages=True,
        rules=(NO_STAGES,) if looked_up else (),
    )


def _linear(config: Config) -> LinearAttention:
    return LinearAttention(
        key_heads=int(config["linear_num_key_heads"]),
        value_heads=int(config["linear_num_value_heads"]),
        key_size=int(config["linear_key_head_dim"]),
        value_size=int(config["linear_value_head_dim"]),
        convolution=int(config["linear_conv_kernel_dim"]),
        recurrent_bytes=4 if config.get("mamba_ssm_dtype") == "float32" else 2,
    )


def _attention(config: Config) -> Attention:
    size, key, pool = int(config["head_dim"]), int(config["indexer_head_dim"]), int(config["indexer_compress_ratio"])
    index = Index(
        heads=int(config["indexer_n_heads"]),
        size=key,
        key_bytes=2 * key,
        pool=pool,
        row_bytes=2 * key,
        top=int(config["indexer_budget"]) + pool,  # tokens that are not pooled yet, and the number of all of them
        keeps_top=True,
    )
    heads, kv_heads = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
    return Attention(heads, kv_heads, size, size, gated=True, normed=True, index=index)


def _experts(config: Config) -> Experts:
    return replace(experts_beside_a_wide_one(config), shared_gate=True)
