"""Where a checkpoint says how it is quantized."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vmn.core.planning.model.architecture import ConfigError

Fields = Mapping[str, Any]

IGNORE_LISTS = (
    "modules_to_not_convert",
    "ignored_layers",
    "ignore",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Names of the list of modules that are not quantized."""


def quantization_fields(config: Fields) -> Fields | None:
    """Return the fields that say how a checkpoint is quantized, None when nothing does.

    They are ``quantization_config`` or ``compression_config`` of ``config.json``, or else Model Optimizer's own file
    next to it (``hf_quant_config``).

    Raises:
        ConfigError: the fields have no known form.
    """
    for name, method in (("quantization_config", ""), ("compression_config", "compressed-tensors")):
        given = config.get(name)
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{name} has no fields, so the planner can't tell how the weights are stored")
        if given:
            return {**given, "quant_method": given.get("quant_method") or method or _unnamed_method(given)}
    beside = config.get("hf_quant_config")
    if not isinstance(beside, Mapping):
        return None
    return {"quant_method": "modelopt", **beside.get("quantization", beside)}


def _unnamed_method(fields: Fields) -> str:
    inner = fields.get("quantization", fields)
    return "modelopt" if isinstance(inner, Mapping) and "quant_algo" in inner else ""


def kv_cache_dtype(config: Fields) -> str | None:
    """Return ``fp8`` if the checkpoint asks for a KV cache of 8 bits, otherwise None."""
    inner = config.get("quantization")
    fields = {**inner, **config} if isinstance(inner, Mapping) else config
    scheme = fields.get("kv_cache_scheme") or fields.get("kv_cache_quant_algo")
    if isinstance(scheme, Mapping):
        return "fp8" if scheme.get("num_bits") == 8 else None
    return "fp8" if str(scheme or "").upper() == "FP8" else None


def skipped_modules(config: Fields) -> tuple[str, ...]:
    """Return the patterns of modules that are not quantized."""
    return tuple(str(entry) for name in IGNORE_LISTS for entry in config.get(name) or [])


def skipped_parts(config: Fields) -> tuple[str, ...]:
    """Return the list of modules for methods that look for each entry anywhere in a name (AWQ, bitsandbytes)."""
    return tuple(f"re:.*{re.escape(entry)}" for entry in skipped_modules(config))
