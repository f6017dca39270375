"""The longest context of a model after ``--hf-overrides``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LIMITS = ("max_position_embeddings", "model_max_length")
UNSCALED = ("su", "longrope", "llama3", "default")
"""Kinds of rotary positions whose factor does not change the limit (vLLM 0.32, ``_get_and_verify_max_len``)."""


def longest_context(overrides: object, own: int) -> int:
    """Return the longest context in tokens.

    vLLM multiplies the limit with the factor of the rotary positions; YaRN's factor counts from the length that the
    model was trained with.

    Args:
        overrides: ``--hf-overrides`` as fields or as JSON; anything else changes nothing.
        own: longest context without them, in tokens.
    """
    fields = _fields(overrides)
    text = fields.get("text_config")
    fields = {**fields, **text} if isinstance(text, Mapping) else fields
    limit = next((int(fields[name]) for name in LIMITS if isinstance(fields.get(name), int)), own)
    scaling = fields.get("rope_parameters") or fields.get("rope_scaling")
    if not isinstance(scaling, Mapping):
        return limit
    kind, factor = str(scaling.get("rope_type") or scaling.get("type") or "default"), scaling.get("factor")
    if kind in UNSCALED or not isinstance(factor, int | float):
        return limit
    start = scaling.get("original_max_position_embeddings")
    return int((int(start) if kind == "yarn" and isinstance(start, int) else limit) * factor)


def _fields(overrides: object) -> Mapping[str, Any]:
    if isinstance(overrides, str):
        try:
            overrides = json.loads(overrides)
        except ValueError:
            return {}
    return overrides if isinstance(overrides, Mapping) else {}
