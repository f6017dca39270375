"""How weights are quantized: in the checkpoint (``quantization_config``), or while loading (``--quantization``)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from vmn.core.planning.model.architecture import Architecture, ConfigError, Quantization

SCALE_32 = 4.0
"""Bytes of a 32-bit scale."""
SCALE_16 = 2.0
"""Bytes of a 16-bit scale."""
ONLINE = {
    # vLLM 0.32, config/quantization.py, _ONLINE_SHORTHANDS: linear layers and experts, or experts only.
    "fp8_per_tensor": Quantization("fp8_per_tensor", 1.0),
    "fp8_per_channel": Quantization("fp8_per_channel", 1.0),
    "fp8_per_block": Quantization("fp8_per_block", 1.0, 4 / 128**2, block=(128, 128)),
    "mxfp8": Quantization("mxfp8", 1.0, 1 / 32),
    "mxfp4": Quantization("mxfp4", 0.5, 1 / 32),
    "int8_per_channel_weight_only": Quantization("int8_per_channel_weight_only", 1.0, experts_only=True),
    "nvfp4_per_token": Quantization("nvfp4_per_token", 0.5, 1 / 16, experts_only=True),
}
PLAIN_FP8_UNTIL = (0, 32)
"""The version from which ``fp8`` is only for FP8 checkpoints (quantization/fp8.py)."""


def read_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """Return how weights are quantized, None when they are not.

    Raises:
        ConfigError: the method is not known.
    """
    method = str(config.get("quant_method", "")).lower()
    skipped = _skipped(config)
    match method:
        case "fp8" | "fbgemm_fp8" | "fbgemm":
            block = config.get("weight_block_size")
            if block:
                rows, columns = int(block[0]), int(block[1])
                return Quantization("fp8", 1.0, SCALE_32 / (rows * columns), (rows, columns), skipped=skipped)
            return Quantization("fp8", 1.0, skipped=skipped)
        case "mxfp4":
            return Quantization("mxfp4", 0.5, 1 / 32, experts_only=True, skipped=skipped)
        case "compressed-tensors":
            return _compressed(config, skipped)
        case "awq" | "gptq" | "auto-round" | "awq_marlin" | "gptq_marlin":
            bits, group = int(config.get("bits", config.get("w_bit", 4))), int(config.get("group_size", 128))
            return Quantization(method, bits / 8, (SCALE_16 + bits / 8) / group, skipped=skipped)
        case "modelopt" | "modelopt_fp4":
            return _modelopt(config, skipped)
        case _:
            raise ConfigError(f'quantization_config.quant_method "{method}" is not known to the planner')


def kv_cache_dtype(config: Mapping[str, Any]) -> str | None:
    """Return ``fp8`` if the checkpoint asks for a KV cache of 8 bits, otherwise None."""
    scheme = config.get("kv_cache_scheme") or config.get("kv_cache_quant_algo")
    if isinstance(scheme, Mapping):
        return "fp8" if scheme.get("num_bits") == 8 else None
    return "fp8" if str(scheme or "").upper() == "FP8" else None


def _skipped(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules")
    return tuple(str(entry) for name in names for entry in config.get(name) or [])


def _compressed(config: Mapping[str, Any], skipped: tuple[str, ...]) -> Quantization | None:
    groups = config.get("config_groups") or {}
    weights = next((group["weights"] for group in groups.values() if group.get("weights")), None)
    if not weights:
        return None
    bits, size = int(weights.get("num_bits", 8)), weights.get("group_size")
    block = weights.get("block_structure")
    if block:
        rows, columns = int(block[0]), int(block[1])
        return Quantization("fp8", bits / 8, SCALE_32 / (rows * columns), (rows, columns), skipped=skipped)
    if bits == 4 and weights.get("type") == "float":
        return Quantization("nvfp4", 0.5, 1 / int(size or 16), skipped=skipped)
    scale = SCALE_16 / int(size) if size and int(size) > 0 else 0.0
    return Quantization("compressed-tensors", bits / 8, scale, skipped=skipped)


def _modelopt(config: Mapping[str, Any], skipped: tuple[str, ...]) -> Quantization:
    inner = config.get("quantization", config)
    if "FP4" in str(inner.get("quant_algo", "")).upper():
        return Quantization("nvfp4", 0.5, 1 / int(inner.get("group_size") or 16), skipped=skipped)
    return Quantization("fp8", 1.0, skipped=skipped or _skipped(inner))


@lru_cache(maxsize=64)
def skips(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that tells whether a module is not quantized, by its name.

    Args:
        patterns: names of modules or of their parents, shell patterns, or regular expressions after ``re:``.
    """
    forms = [pattern.removeprefix("re:") for pattern in patterns if pattern.startswith("re:")]
    globs = [pattern for pattern in patterns if "*" in pattern and not pattern.startswith("re:")]
    names = {pattern for pattern in patterns if "*" not in pattern and not pattern.startswith("re:")}
    expressions = [re.compile(form) for form in [*forms, *(fnmatch.translate(glob + "*") for glob in globs)]]
    short = {name for name in names if "layers." not in name}

    @lru_cache(maxsize=4096)
    def skipped(module: str) -> bool:
        parts = module.split(".")
        ends = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        inner = {".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
        if ends & names or inner & short:
            return True
        return any(expression.match(module) for expression in expressions)

    return skipped


def with_quantization(
    model: Architecture, config: Mapping[str, Any], method: str | None, version: tuple[int, int]
) -> Architecture:
    """Return the shapes as vLLM loads them with ``--quantization METHOD``.

    Args:
        model: shapes of the checkpoint.
        config: ``config.json`` of the model.
        method: vLLM's name of the method, None without the option.
        version: first version of vLLM with this behaviour.

    Raises:
        ConfigError: vLLM refuses the method; the message is vLLM's own if it has one.
    """
    if method is None:
        return model
    given = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
    if given:
        stored = str(given.get("quant_method", ""))
        if _family(stored) != _family(method):
            raise ConfigError(
                f"Quantization method specified in the model config ({stored}) does not match the quantization "
                f"method specified in the `quantization` argument ({method})."
            )
        return model
    if method == "fp8" and version < PLAIN_FP8_UNTIL:
        return replace(model, quantization=ONLINE["fp8_per_tensor"], stored=None)
    if method == "fp8":
        raise ConfigError(
            "The `fp8` quantization method no longer supports online quantization. Please use `--quantization "
            "fp8_per_tensor` instead."
        )
    if method not in ONLINE:
        raise ConfigError(
            f"{method} is for checkpoints that are stored that way. To quantize other weights while loading, use one "
            f"of {', '.join(ONLINE)}."
        )
    return replace(model, quantization=ONLINE[method], stored=None)


def _family(method: str) -> str:
    """Return a method without the name of its kernel: vLLM accepts ``awq_marlin`` for ``awq``."""
    name = method.lower().removeprefix("auto_").removeprefix("gpt_oss_").removesuffix("_marlin")
    return "modelopt" if name.startswith("modelopt") else name
