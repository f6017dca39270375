"""Quantization while loading (``--quantization``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vmn.core.planning.model.architecture import Architecture, ConfigError
from vmn.core.planning.model.quantization.fields import quantization_fields
from vmn.core.planning.model.quantization.format import Quantization

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
    given = quantization_fields({**config, **(config.get("text_config") or {})})
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
