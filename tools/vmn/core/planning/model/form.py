"""What the file of a family of models returns: its layers, and what is special about the rest."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.model.architecture import Layer, Rule, Table


@dataclass(frozen=True)
class Form:
    """A model, by its ``config.json``. Everything but the layers has the value that most models have.

    Attributes:
        layers: decoder layers.
        drafts: layers for multi-token prediction.
        rotated: elements of a head with rotary positions, None for those of the first layer's, 0 if blocks say it.
        streams: residual streams of a token.
        states: states of all tokens that are alive beside what a part of a layer computes, 0 for those of most models.
        merge_states: states of all tokens that are alive while the model merges its streams at its end.
        replayed_from: the layer with which those begin that run on the last tokens of requests (replay), None without.
        embedding_is_copied: whether each rank has the whole embedding.
        last_weights: bytes of small matrices of the last stage.
        tables: tables of embeddings of n-grams.
        fp8_cache_on: compute capabilities on which vLLM takes a KV cache of 8 bits by default.
        packs_pages: whether the kernels want pages of all layers side by side in a block.
        unquantized: modules that vLLM never quantizes.
        rules: what vLLM refuses in addition to what follows from the blocks.
    """

    layers: tuple[Layer, ...]
    drafts: tuple[Layer, ...] = ()
    rotated: int | None = None
    streams: int = 1
    states: float = 0.0
    merge_states: float = 0.0
    replayed_from: int | None = None
    embedding_is_copied: bool = False
    last_weights: float = 0.0
    tables: tuple[Table, ...] = ()
    fp8_cache_on: tuple[int, ...] = ()
    packs_pages: bool = False
    unquantized: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
