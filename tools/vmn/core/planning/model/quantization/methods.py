"""The methods of quantization that the planner knows. What it can't read is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.quantization.fields import Fields, skipped_modules
from vmn.core.planning.model.quantization.format import (
    FP8,
    MXFP4,
    MXFP8,
    SCALE_32,
    Format,
    FormatRule,
    Quantization,
    stored_as,
)
from vmn.core.planning.model.quantization.groups import compressed_tensors, modelopt
from vmn.core.planning.model.quantization.integers import auto_round, awq, bitsandbytes, gptq, integers


def read_quantization(config: Fields) -> Quantization | None:
    """Return how weights are quantized, None when they are not.

    Args:
        config: the fields that ``quantization_fields`` returns.

    Raises:
        ConfigError: the method, or a part of it, is not known to the planner.
    """
    method = str(config.get("quant_method", "")).lower().replace("_", "-")
    family = method.removeprefix("intel/").removesuffix("-marlin")
    reader = _READERS.get(family)
    if reader is None:
        given = config.get("quant_method", "")
        raise ConfigError(f'quantization_config.quant_method "{given}" is not known to the planner')
    return reader(config)


def _fp8(config: Fields) -> Quantization:
    form = FP8
    block = config.get("weight_block_size")
    if block:
        rows, columns = int(block[0]), int(block[1])
        form = Format("fp8", 1.0, SCALE_32 / (rows * columns), (rows, columns))
    return stored_as(form, skipped=skipped_modules(config))


def _mxfp4(config: Fields) -> Quantization:
    # The kernels pad what a shard cuts (``mxfp4_round_up_hidden_size_and_intermediate_size``), so no group can be cut.
    return Quantization("mxfp4", 0.5, 1 / 32, experts_only=True, skipped=skipped_modules(config))


def _quark(config: Fields) -> Quantization:
    """Read AMD's Quark: one format for all, and others by pattern (``layer_quant_config``)."""
    every = _quark_format(config.get("global_quant_config") or {})
    layers = config.get("layer_quant_config") or {}
    rules = tuple(FormatRule((str(name),), _quark_format(change)) for name, change in layers.items())
    if every is None:
        return Quantization("quark", 2.0, skipped=skipped_modules(config), rules=rules, others=False)
    return stored_as(every, "quark", skipped=skipped_modules(config), rules=rules)


def _quark_format(config: Fields) -> Format | None:
    """Return the format of weights in Quark's words.

    Raises:
        ConfigError: the type is not known.
    """
    weight = config.get("weight")
    weight = weight[0] if isinstance(weight, list) else weight
    if not weight:
        return None
    kind, group = str(weight.get("dtype", "")), int(weight.get("group_size") or -1)
    if kind.startswith("fp8"):
        return FP8
    if kind == "fp4":
        return MXFP4
    if kind in ("int4", "uint4", "int8", "uint8"):
        return integers(int(kind[-1]), group, kind.startswith("u"))
    raise ConfigError(f'quantization_config has weights of type "{kind}" by Quark, which the planner does not know')


_READERS: Mapping[str, Callable[[Fields], Quantization | None]] = {
    "fp8": _fp8,
    "fbgemm-fp8": _fp8,
    "fbgemm": _fp8,
    "mxfp4": _mxfp4,
    "mxfp8": lambda config: stored_as(MXFP8, skipped=skipped_modules(config)),
    "compressed-tensors": compressed_tensors,
    "awq": awq,
    "gptq": gptq,
    "gptqmodel": gptq,
    "auto-round": auto_round,
    "inc": auto_round,
    "modelopt": modelopt,
    "modelopt-fp4": modelopt,
    "modelopt-mixed": modelopt,
    "modelopt-mxfp8": modelopt,
    "bitsandbytes": bitsandbytes,
    "quark": _quark,
}
