"""How a checkpoint is quantized (``quantization_config``), and quantization while loading (``--quantization``).

Each function after ``_READERS`` reads one method, as vLLM 0.32's file of that method in ``quantization`` does. What the
planner can't read is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from vmn.core.planning.model.architecture import Architecture, ConfigError, Format, FormatRule, Quantization

Fields = Mapping[str, Any]

SCALE_32 = 4.0
"""Bytes of a 32-bit scale."""
SCALE_16 = 2.0
"""Bytes of a 16-bit scale."""
NF4_BLOCK = 64
"""Weights that share a 32-bit scale in bitsandbytes' 4-bit format (``bitsandbytes.functional.quantize_4bit``)."""
FP8 = Format("fp8", 1.0)
FP8_BLOCKS = Format("fp8", 1.0, SCALE_32 / 128**2, (128, 128))
MXFP8 = Format("mxfp8", 1.0, 1 / 32, group=32)
MXFP4 = Format("mxfp4", 0.5, 1 / 32, group=32)
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


def kv_cache_dtype(config: Fields) -> str | None:
    """Return ``fp8`` if the checkpoint asks for a KV cache of 8 bits, otherwise None."""
    inner = config.get("quantization")
    fields = {**inner, **config} if isinstance(inner, Mapping) else config
    scheme = fields.get("kv_cache_scheme") or fields.get("kv_cache_quant_algo")
    if isinstance(scheme, Mapping):
        return "fp8" if scheme.get("num_bits") == 8 else None
    return "fp8" if str(scheme or "").upper() == "FP8" else None


def _skipped(config: Fields) -> tuple[str, ...]:
    return tuple(str(entry) for name in IGNORE_LISTS for entry in config.get(name) or [])


def _parts(config: Fields) -> tuple[str, ...]:
    """Return the list of modules for methods that look for each entry anywhere in a name (AWQ, bitsandbytes)."""
    return tuple(f"re:.*{re.escape(entry)}" for entry in _skipped(config))


def _of(form: Format, method: str = "", **more: Any) -> Quantization:
    return Quantization(method or form.name, form.weight_bytes, form.scale_bytes, form.block, group=form.group, **more)


def _fp8(config: Fields) -> Quantization:
    form = FP8
    block = config.get("weight_block_size")
    if block:
        rows, columns = int(block[0]), int(block[1])
        form = Format("fp8", 1.0, SCALE_32 / (rows * columns), (rows, columns))
    return _of(form, skipped=_skipped(config))


def _mxfp4(config: Fields) -> Quantization:
    # The kernels pad what a shard cuts (``mxfp4_round_up_hidden_size_and_intermediate_size``), so no group can be cut.
    return Quantization("mxfp4", 0.5, 1 / 32, experts_only=True, skipped=_skipped(config))


def _integers(bits: int, group: int, zeros: bool = True, name: str = "integers") -> Format:
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


def _bits(config: Fields, otherwise: int = 4) -> int:
    bits = int(config.get("bits") or config.get("w_bit") or otherwise)
    if not 1 <= bits <= 16:
        raise ConfigError(f"quantization_config.bits must be between 1 and 16 (got {bits})")
    return bits


def _group(config: Fields, otherwise: int = 128) -> int:
    value = config.get("group_size", config.get("q_group_size"))
    return otherwise if value is None else int(value)


def _awq(config: Fields) -> Quantization:
    form = _integers(_bits(config), _group(config), bool(config.get("zero_point", True)))
    return _of(form, "awq", skipped=_parts(config))


def _gptq(config: Fields) -> Quantization:
    """Read GPTQ; ``dynamic`` has other bits, groups, or none (``-:``) by regular expressions (GPTQModel)."""
    bits, group = _bits(config), _group(config)
    form = _integers(bits, group)
    rules = []
    for pattern, change in (config.get("dynamic") or {}).items():
        changed: Format | None = None
        if not pattern.startswith("-:"):
            given = change or {}
            changed = _integers(_bits(given, bits), _group(given, group))
        rules.append(FormatRule((f"re:{pattern.removeprefix('-:').removeprefix('+:')}",), changed))
    inside = [str(name) for names in config.get("modules_in_block_to_quantize") or [] for name in _list(names)]
    rules += [FormatRule((f"re:.*{re.escape(name)}",), form) for name in inside]
    head = bool(config.get("lm_head"))
    return _of(form, "gptq", rules=tuple(rules), others=not inside, head=head, skipped=_parts(config))


def _list(names: object) -> list[Any]:
    return list(names) if isinstance(names, list | tuple) else [names]


def _auto_round(config: Fields) -> Quantization:
    """Read AutoRound; ``extra_config`` has other bits by name or regular expression, 16 for what is not quantized."""
    bits, group = _bits(config), _group(config)
    form = _auto_round_format(config, bits, group)
    rules = []
    for name, change in (config.get("extra_config") or {}).items():
        own = _bits(change, bits)
        given = {**config, **change}
        changed = None if own >= 16 else _auto_round_format(given, own, _group(change, group))
        rules.append(FormatRule((name, f"re:{name}"), changed))
    blocks = config.get("block_name_to_quantize") or []
    names = blocks.split(",") if isinstance(blocks, str) else [str(name) for name in _flat(blocks)]
    rules += [FormatRule((name.strip(),), form) for name in names]
    return _of(form, "auto-round", rules=tuple(rules), others=not names)


def _auto_round_format(config: Fields, bits: int, group: int) -> Format:
    kind = str(config.get("data_type") or "int").lower()
    if kind.startswith(("mx_fp", "mxfp")):
        return {4: MXFP4, 8: MXFP8}[bits]
    if kind.startswith(("nv_fp", "nvfp")):
        return _nvfp4(16 if group <= 0 else group)
    if kind.startswith("fp") and bits == 8:
        return FP8
    if not kind.startswith("int"):
        raise ConfigError(f'quantization_config.data_type "{kind}" is not known to the planner')
    return _integers(bits, group)


def _flat(names: object) -> Iterator[object]:
    for name in _list(names):
        if isinstance(name, list | tuple):
            yield from _flat(name)
        else:
            yield name


def _nvfp4(group: int = 16) -> Format:
    return Format("nvfp4", 0.5, 1 / group, group=group)


def _compressed(config: Fields) -> Quantization | None:
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
    return _of(first, method, skipped=_skipped(config), rules=by_name, others=every is not None)


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
            return MXFP4 if group == 32 else _nvfp4(16 if group <= 0 else group)
        if bits == 8:
            return MXFP8 if group == 32 else FP8
        raise ConfigError(f"quantization_config has floating-point weights of {bits} bits, which vLLM can't load")
    return _integers(bits, group, not weights.get("symmetric", True), "compressed-tensors")


def _modelopt(config: Fields) -> Quantization | None:
    """Read Model Optimizer: one format for all, or MIXED_PRECISION with a format for each module."""
    inner = config.get("quantization")
    config = {**config, **inner} if isinstance(inner, Mapping) else config
    algorithm = str(config.get("quant_algo") or "").upper()
    skipped = _skipped(config)
    if algorithm == "MIXED_PRECISION":
        rules = _modelopt_layers(config)
        return Quantization("modelopt", 2.0, skipped=skipped, rules=rules, others=False)
    if not algorithm:
        return _compressed(config)
    form = _modelopt_format(algorithm, config)
    return None if form is None else _of(form, skipped=skipped)


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
    read = _compressed(config)
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
        return _nvfp4(int(size or 16))
    if algorithm in ("W4A16_AWQ", "W4A8_AWQ", "INT4_AWQ"):
        return _integers(4, int(size or 128), zeros=False, name="int4")
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


def _bitsandbytes(config: Fields) -> Quantization:
    """Read bitsandbytes; vLLM unpacks nested scales to 32 bits (``bitsandbytes_loader.py``)."""
    if config.get("load_in_8bit"):
        return Quantization("bitsandbytes", 1.0, skipped=_parts(config))
    return Quantization("bitsandbytes", 0.5, SCALE_32 / NF4_BLOCK, skipped=_parts(config))


def _quark(config: Fields) -> Quantization:
    """Read AMD's Quark: one format for all, and others by pattern (``layer_quant_config``)."""
    every = _quark_format(config.get("global_quant_config") or {})
    layers = config.get("layer_quant_config") or {}
    rules = tuple(FormatRule((str(name),), _quark_format(change)) for name, change in layers.items())
    if every is None:
        return Quantization("quark", 2.0, skipped=_skipped(config), rules=rules, others=False)
    return _of(every, "quark", skipped=_skipped(config), rules=rules)


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
        return _integers(int(kind[-1]), group, kind.startswith("u"))
    raise ConfigError(f'quantization_config has weights of type "{kind}" by Quark, which the planner does not know')


_READERS: Mapping[str, Callable[[Fields], Quantization | None]] = {
    "fp8": _fp8,
    "fbgemm-fp8": _fp8,
    "fbgemm": _fp8,
    "mxfp4": _mxfp4,
    "mxfp8": lambda config: _of(MXFP8, skipped=_skipped(config)),
    "compressed-tensors": _compressed,
    "awq": _awq,
    "gptq": _gptq,
    "gptqmodel": _gptq,
    "auto-round": _auto_round,
    "inc": _auto_round,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "modelopt-mixed": _modelopt,
    "modelopt-mxfp8": _modelopt,
    "bitsandbytes": _bitsandbytes,
    "quark": _quark,
}


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
