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
        ConfigError: it has no known form, it asks for a model of its own, or the checkpoint has no such layers.
    """
    fields = _fields(config)
    method, count = str(fields.get("method") or ""), fields.get("num_speculative_tokens")
    if not fields or method in WITHOUT_LAYERS:
        return 0
    if not method.endswith(OWN_LAYERS) or fields.get("model"):
        what = f'the method "{method}"' if method else "a model of its own"
        raise ConfigError(f"--speculative-config asks for {what}, whose memory the planner does not count: use mtp")
    if not model.draft_layers:
        raise ConfigError("--speculative-config asks for mtp, but the checkpoint has no layers for it")
    return int(count) if isinstance(count, int) and count > 0 else len(model.draft_layers)


def _fields(config: object) -> Mapping[str, object]:
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError as error:
            raise ConfigError("--speculative-config is not JSON") from error
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError("--speculative-config has no fields")
    return config or {}
