"""DeepSeek V4: a window and compressed rows in each layer, hyper-connections, and experts in MXFP4.

After ``models/deepseek_v4`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.compressed import STATE_BLOCKS, CompressedAttention
from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.blocks.streams import HyperConnections
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.form import Form


def deepseek_v4(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: a ratio is not known to vLLM; the message is vLLM's own.
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    count = int(config["num_hidden_layers"])
    ratios = [int(ratio) for ratio in config["compress_ratios"]][:count]
    if len(ratios) < count:
        raise ConfigError(f"compress_ratios has {len(ratios)} entries for {count} layers")
    streams = hyper_connections(config)
    layers = tuple(
        Layer.of(_attention(config, ratio), experts(config, index), streams) for index, ratio in enumerate(ratios)
    )
    draft = Layer.of(DraftInput(plain=False), _attention(config, 0), experts(config, count), streams)
    return Form(
        layers,
        drafts=(draft,) * int(config.get("num_nextn_predict_layers") or 0),
        rotated=0,  # each kind of layer has a table of its own
        streams=streams.streams,
        states=states_alive(config),
        last_weights=head_bytes(config),
        packs_pages=True,
    )


def hyper_connections(config: Config) -> HyperConnections:
    """Return the matrices that mix residual streams: before, after, and between them."""
    streams = int(config["hc_mult"])
    return HyperConnections(streams, (2 + streams) * streams)


def states_alive(config: Config) -> int:
    """Return the states of all tokens that are alive while a part of a layer runs.

    They are what the layer gets, which its caller still holds, and the same after the layer has mixed it: all streams,
    and the state that is made of them.
    """
    return 2 * (int(config["hc_mult"]) + 1)


def head_bytes(config: Config) -> float:
    """Return the bytes of the matrix that joins the streams before the output head (``hc_head_fn``)."""
    streams = int(config["hc_mult"])
    return 4.0 * (streams * streams * int(config["hidden_size"]) + streams + 1)


def experts(config: Config, index: int) -> Experts:
    """Return the experts; the first layers route by a table of tokens instead of a bias."""
    is_hashed = index < int(config.get("num_hash_layers") or 0)
    return replace(
        equal_experts(config, "n_routed_experts", "n_shared_experts"),
        router_bias=not is_hashed,
        hashed=int(config["vocab_size"]) if is_hashed else 0,
        rounds_inputs=True,
    )


def _attention(config: Config, ratio: int) -> CompressedAttention:
    if ratio > 1 and ratio not in STATE_BLOCKS:
        raise ConfigError(f"Unsupported DeepseekV4 compress_ratio={ratio}; expected 1, 2, 4, or 128.")
    return CompressedAttention(**attention_fields(config), ratio=ratio if ratio > 1 else 0)


def attention_fields(config: Config) -> dict[str, int]:
    """Return the sizes that all layers share."""
    return {
        "heads": int(config["num_attention_heads"]),
        "size": int(config["head_dim"]),
        "rope_size": int(config["qk_rope_head_dim"]),
        "query_rank": int(config["q_lora_rank"]),
        "output_rank": int(config["o_lora_rank"]),
        "output_groups": int(config["o_groups"]),
        "window": int(config["sliding_window"]),
        "index_heads": int(config["index_n_heads"]),
        "index_size": int(config["index_head_dim"]),
        "index_top": int(config["index_topk"]),
    }
