"""Compressed-tensors and Model Optimizer: groups or lists of modules, each with a format of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.quantization.fields import Fields, skipped_modules
from vmn.core.planning.model.quantization.format import (
    FP8,
    FP8_BLOCKS,
    MXFP4,
    MXFP8,
    SCALE_32,
    Format,
    FormatRule,
    Quantization,
    nvfp4,
    stored_as,
)
from vmn.core.planning.model.quantization.integers import integers


def compressed_tensors(config: Fields) -> Quantization | None:
    """Read compressed-tensors: groups of formats, each for classes of layers, names, or regular expressions."""
    inner = config.get("quantization_config")
    config = {**config, **inner} if isinstance(inner, Mapping) else config
    sparsity = (config.get("sparsity_config") or {}).get("format", "dense")
    if sparsity != "dense":
        raise ConfigError(f'sparsity_config has the format "{sparsity}", whose sizes the planner does not know')
    groups = [group for group in (config.get("config_groups") or {}).values() if group.get("weights")]
    found = [(_targets(group), _compressed_format(group["weights"])) for group in groups]
    if not found:
        return None
    by_name = tuple(FormatRule(names, form) for names, form in found if names)
    every = next((form for names, form in found if not names), None)
    first = every or found[0][1]
    method = first.name if first.name in ("nvfp4", "mxfp4") and len(found) == 1 else "compressed-tensors"
    return stored_as(first, method, skipped=skipped_modules(config), rules=by_name, others=every is not None)


def _targets(group: Fields) -> tuple[str, ...]:
    """Return the names that a group is for, empty for all linear layers.

    Raises:
        ConfigError: it is for a class that vLLM does not quantize.
    """
    targets = [str(target) for target in group.get("targets") or ["Linear"]]
    if "Linear" in targets:
        return ()
    classes = [target for target in targets if re.fullmatch(r"[A-Z]\w*", target)]
    if classes:
        raise ConfigError(f"quantization_config has a group for {', '.join(classes)}, which the planner does not know")
    return tuple(targets)


def _compressed_format(weights: Fields) -> Format:
    bits, size, block = int(weights.get("num_bits") or 8), weights.get("group_size"), weights.get("block_structure")
    group = int(size) if size else -1
    if block:
        rows, columns = int(block[0]), int(block[1])
        return Format("fp8", bits / 8, SCALE_32 / (rows * columns), (rows, columns))
    if weights.get("type") == "float":
        if bits == 4:
            return MXFP4 if group == 32 else nvfp4(16 if group <= 0 else group)
        if bits == 8:
            return MXFP8 if group == 32 else FP8
        raise ConfigError(f"quantization_config has floating-point weights of {bits} bits, which vLLM can't load")
    return integers(bits, group, not weights.get("symmetric", True), "compressed-tensors")


def modelopt(config: Fields) -> Quantization | None:
    """Read Model Optimizer: one format for all, or MIXED_PRECISION with a format for each module."""
    inner = config.get("quantization")
    config = {**config, **inner} if isinstance(inner, Mapping) else config
    algorithm = str(config.get("quant_algo") or "").upper()
    skipped = skipped_modules(config)
    if algorithm == "MIXED_PRECISION":
        rules = _modelopt_layers(config)
        return Quantization("modelopt", 2.0, skipped=skipped, rules=rules, others=False)
    if not algorithm:
        return compressed_tensors(config)
    form = _modelopt_format(algorithm, config)
    return None if form is None else stored_as(form, skipped=skipped)


def _modelopt_layers(config: Fields) -> tuple[FormatRule, ...]:
    """Return the formats of a mixed checkpoint.

    Raises:
        ConfigError: neither ``quantized_layers`` nor ``config_groups`` lists them.
    """
    by_format: dict[Format | None, list[str]] = {}
    for name, change in (config.get("quantized_layers") or {}).items():
        form = _modelopt_format(str(change.get("quant_algo") or "").upper(), {**config, **change})
        by_format.setdefault(form, []).append(str(name))
    if by_format:
        return tuple(FormatRule(tuple(names), form) for form, names in by_format.items())
    read = compressed_tensors(config)
    if read is None or not read.rules:
        raise ConfigError("quant_algo is MIXED_PRECISION, but quantized_layers does not say how modules are stored")
    return read.rules


def _modelopt_format(algorithm: str, config: Fields) -> Format | None:
    """Return a format by its name in Model Optimizer.

    Raises:
        ConfigError: the name is not known.
    """
    size = config.get("group_size")
    if "NVFP4" in algorithm or algorithm == "FP4":
        return nvfp4(int(size or 16))
    if algorithm in ("W4A16_AWQ", "W4A8_AWQ", "INT4_AWQ"):
        return integers(4, int(size or 128), zeros=False, name="int4")
    if algorithm in ("NONE", "BF16", "FP16"):
        return None
    known = {
        "FP8": FP8,
        "FP8_PER_CHANNEL_PER_TOKEN": FP8,
        "FP8_PB_WO": FP8_BLOCKS,
        "FP8_BLOCK": FP8_BLOCKS,
        "MXFP8": MXFP8,
        "MXFP4": MXFP4,
        "W4A8_MXFP4_FP8": MXFP4,
        "W8A8_SQ_PER_CHANNEL": Format("int8", 1.0),
        "W8A16": Format("int8", 1.0),
    }
    if algorithm not in known:
        raise ConfigError(f'quant_algo "{algorithm}" of Model Optimizer is not known to the planner')
    return known[algorithm]
