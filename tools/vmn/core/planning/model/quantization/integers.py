"""Packed integers: AWQ, GPTQ, AutoRound, and bitsandbytes.

Each function reads one method, as vLLM 0.32's file of that method in ``quantization`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.quantization.fields import Fields, skipped_parts
from vmn.core.planning.model.quantization.format import (
    FP8,
    MXFP4,
    MXFP8,
    SCALE_16,
    SCALE_32,
    Format,
    FormatRule,
    Quantization,
    nvfp4,
    stored_as,
)

NF4_BLOCK = 64
"""Weights that share a 32-bit scale in bitsandbytes' 4-bit format (``bitsandbytes.functional.quantize_4bit``)."""


def integers(bits: int, group: int, zeros: bool = True, name: str = "integers") -> Format:
    """Return the format of packed integers with a 16-bit scale, and perhaps a packed zero point, for each group.

    Args:
        bits: bits of a weight.
        group: columns that share a scale, -1 for all columns of a row: then the scales are less than 0.1 %.
        zeros: whether there are zero points.
        name: name of the format.

    Raises:
        ConfigError: the group is neither -1 nor positive.
    """
    if group == -1:
        return Format(name, bits / 8)
    if group <= 0:
        raise ConfigError(f"group_size must be -1, or at least 1 (got {group})")
    return Format(name, bits / 8, (SCALE_16 + bits / 8 * zeros) / group, group=group)


def bits_of(config: Fields, otherwise: int = 4) -> int:
    """Return the bits of a weight.

    Raises:
        ConfigError: they are not between 1 and 16.
    """
    bits = int(config.get("bits") or config.get("w_bit") or otherwise)
    if not 1 <= bits <= 16:
        raise ConfigError(f"quantization_config.bits must be between 1 and 16 (got {bits})")
    return bits


def group_of(config: Fields, otherwise: int = 128) -> int:
    """Return the number of columns that share a scale, -1 for all columns of a row."""
    value = config.get("group_size", config.get("q_group_size"))
    return otherwise if value is None else int(value)


def awq(config: Fields) -> Quantization:
    """Read AWQ."""
    form = integers(bits_of(config), group_of(config), bool(config.get("zero_point", True)))
    return stored_as(form, "awq", skipped=skipped_parts(config))


def gptq(config: Fields) -> Quantization:
    """Read GPTQ; ``dynamic`` has other bits, groups, or none (``-:``) by regular expressions (GPTQModel)."""
    bits, group = bits_of(config), group_of(config)
    form = integers(bits, group)
    rules = []
    for pattern, change in (config.get("dynamic") or {}).items():
        changed: Format | None = None
        if not pattern.startswith("-:"):
            given = change or {}
            changed = integers(bits_of(given, bits), group_of(given, group))
        rules.append(FormatRule((f"re:{pattern.removeprefix('-:').removeprefix('+:')}",), changed))
    inside = [str(name) for names in config.get("modules_in_block_to_quantize") or [] for name in _list(names)]
    rules += [FormatRule((f"re:.*{re.escape(name)}",), form) for name in inside]
    head = bool(config.get("lm_head"))
    return stored_as(form, "gptq", rules=tuple(rules), others=not inside, head=head, skipped=skipped_parts(config))


def _list(names: object) -> list[Any]:
    return list(names) if isinstance(names, list | tuple) else [names]


def auto_round(config: Fields) -> Quantization:
    """Read AutoRound; ``extra_config`` has other bits by name or regular expression, 16 for what is not quantized."""
    bits, group = bits_of(config), group_of(config)
    form = _auto_round_format(config, bits, group)
    rules = []
    for name, change in (config.get("extra_config") or {}).items():
        own = bits_of(change, bits)
        given = {**config, **change}
        changed = None if own >= 16 else _auto_round_format(given, own, group_of(change, group))
        rules.append(FormatRule((name, f"re:{name}"), changed))
    blocks = config.get("block_name_to_quantize") or []
    names = blocks.split(",") if isinstance(blocks, str) else [str(name) for name in _flat(blocks)]
    rules += [FormatRule((name.strip(),), form) for name in names]
    return stored_as(form, "auto-round", rules=tuple(rules), others=not names)


def _auto_round_format(config: Fields, bits: int, group: int) -> Format:
    kind = str(config.get("data_type") or "int").lower()
    if kind.startswith(("mx_fp", "mxfp")):
        return {4: MXFP4, 8: MXFP8}[bits]
    if kind.startswith(("nv_fp", "nvfp")):
        return nvfp4(16 if group <= 0 else group)
    if kind.startswith("fp") and bits == 8:
        return FP8
    if not kind.startswith("int"):
        raise ConfigError(f'quantization_config.data_type "{kind}" is not known to the planner')
    return integers(bits, group)


def _flat(names: object) -> Iterator[object]:
    for name in _list(names):
        if isinstance(name, list | tuple):
            yield from _flat(name)
        else:
            yield name


def bitsandbytes(config: Fields) -> Quantization:
    """Read bitsandbytes; vLLM unpacks nested scales to 32 bits (``bitsandbytes_loader.py``)."""
    if config.get("load_in_8bit"):
        return Quantization("bitsandbytes", 1.0, skipped=skipped_parts(config))
    return Quantization("bitsandbytes", 0.5, SCALE_32 / NF4_BLOCK, skipped=skipped_parts(config))
