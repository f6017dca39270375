"""Speculative decoding: what ``--speculative-config`` adds to the memory of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vmn.core.planning.model.architecture import Architecture, ConfigError

OWN_LAYERS = "mtp"
"""What the names of methods end with that run layers of the checkpoint itself (``config/speculative.py`` of 0.33)."""
WITHOUT_LAYERS = ("ngram", "ngram_gpu", "suffix")
"""Methods that draft without a model."""


def drafted_tokens(config: object, model: Architecture) -> int:
    """Return the tokens that layers for multi-token prediction draft in a step, 0 without such layers.

    Args:
        config: ``--speculative-config`` as fields or as JSON, None without the option.
        model: shapes of the model.

    Raises:
        ConfigError: it has no known form, vLLM refuses it, or its memory can't be counted.
    """
    fields = _fields(config)
    method, count = str(fields.get("method") or ""), fields.get("num_speculative_tokens")
    if not fields or method in WITHOUT_LAYERS:
        return 0
    if not uses_own_layers(fields):
        what = f'the method "{method}"' if method else "a model of its own"
        raise ConfigError(f"--speculative-config asks for {what}, whose memory the planner does not count: use mtp")
    tokens = count if isinstance(count, int) and count > 0 else model.mtp.depth if model.mtp else 0
    if reason := refused_drafts(tokens, model):
        raise ConfigError(f"--speculative-config asks for mtp, but {reason}")
    if not model.draft_layers:
        raise ConfigError("--speculative-config asks for mtp, but the planner does not know the shapes of its layers")
    return tokens


def uses_own_layers(fields: Mapping[str, object]) -> bool:
    """Return whether the fields of ``--speculative-config`` ask for layers of the checkpoint itself."""
    return str(fields.get("method") or "").endswith(OWN_LAYERS) and not fields.get("model")


def is_only_tokens(config: object) -> bool:
    """Return whether a ``--speculative-config`` says only that the checkpoint's own layers draft some tokens."""
    fields = _fields(config)
    return uses_own_layers(fields) and set(fields) <= {"method", "num_speculative_tokens"}


def refused_drafts(tokens: int, model: Architecture) -> str:
    """Return why vLLM does not draft a number of tokens with a model's own layers, empty if it does."""
    if model.mtp is None:
        return "vLLM has no multi-token prediction for this model"
    depth = model.mtp.depth
    if not depth:
        return "the checkpoint has no layers for it"
    if tokens > depth and tokens % depth:
        return f"{tokens} tokens are not a multiple of the {depth} layers for it"
    return ""


def _fields(config: object) -> Mapping[str, object]:
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError as error:
            raise ConfigError("--speculative-config is not JSON") from error
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError("--speculative-config has no fields")
    return config or {}
