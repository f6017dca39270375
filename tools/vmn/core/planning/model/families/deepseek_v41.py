"""DeepSeek V4.1: like V4, but a few layers own the compressed rows, and two look n-grams up in tables (Engram).

After ``models/deepseek_v41`` and ``config/engram.py`` of vLLM 0.33.
"""

from __future__ import annotations

from vmn.core.planning.blocks.ngrams import Engram
from vmn.core.planning.blocks.sourced import SourcedAttention
from vmn.core.planning.model.architecture import Config, Layer, Rule, Table
from vmn.core.planning.model.families.deepseek_v4 import attention_fields, experts, hyper_connections, states_alive
from vmn.core.planning.model.form import Form

SCALED = 33 / 32
"""Bytes of an element in 8 bits with its share of a scale for 32 elements."""


def deepseek_v41(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    streams = hyper_connections(config)
    sources, pickers = set(config["kv_source_layer_ids"]), set(config["index_source_layer_ids"])
    last = max(sources)
    lookups = list(config.get("engram_layer_ids") or [])
    width = int(config.get("engram_head_dim") or 0)
    columns = (int(config.get("engram_max_ngram_size") or 1) - 1) * int(config.get("engram_n_heads") or 0)
    engram = Engram(columns * width, streams.streams)
    has_candidates = int(config.get("candidate_source_layer_id", -1)) >= 0
    candidates = int(config.get("candidate_topk_blocks") or 0) if has_candidates else 0
    layers = tuple(
        Layer.of(
            engram if index in lookups else None,
            SourcedAttention(
                **attention_fields(config),
                ratio=int(config["compress_ratios"][index]),
                is_source=index in sources,
                picks=index in pickers,
                candidates=candidates,
            ),
            experts(config, index),
            streams,
        )
        for index in range(int(config["num_hidden_layers"]))
    )
    rows = [int(size) for size in config.get("engram_num_embeddings") or []][: len(lookups)]
    return Form(
        layers,
        rotated=0,
        streams=streams.streams,
        states=states_alive(config),
        replayed_from=None if any(index >= last for index in lookups) else last,
        tables=tuple(Table(count * width * SCALED, in_host=True) for count in rows),
        packs_pages=True,
        rules=(_whole_groups(sources, len(layers)),),
    )


def _whole_groups(sources: set[int], layers: int) -> Rule:
    """Return the rule that a stage has the source of the rows that its layers read."""
    first = min(sources)
    return Rule(
        "pipeline",
        layers,
        f"a stage must start with one of the layers {', '.join(map(str, sorted(sources)))}, which own the compressed "
        "rows of those after them",
        "PP splits inside a v4.1 kv-sharing group are not supported.",
        starts=(*range(first), *sorted(sources)),
    )
