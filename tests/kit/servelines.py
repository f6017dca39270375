"""Command lines of ``vllm serve`` as values of the chart."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from typing import Any

Values = dict[str, Any]
SHORT = {
    **{"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size", "-dp": "data-parallel-size"},
    **{"-dcp": "decode-context-parallel-size", "-ep": "enable-expert-parallel", "-q": "quantization"},
    **{"-cc": "compilation-config", "-ac": "attention-config", "-sc": "speculative-config"},
}
OWNED = {
    "tensor-parallel-size": "parallelism.tensor",
    "pipeline-parallel-size": "parallelism.pipeline",
    "data-parallel-size": "parallelism.data",
    "enable-expert-parallel": "parallelism.expert",
    "decode-context-parallel-size": "parallelism.decodeContext",
    "served-model-name": "model.servedName",
    "max-model-len": "model.maxLength",
    "trust-remote-code": "model.trustRemoteCode",
    "quantization": "model.quantization",
    "dtype": "model.dtype",
    "revision": "model.revision",
    "port": "engine.port",
    "distributed-executor-backend": "engine.backend",
}
"""Flags that a value of the chart sets."""
TEXTS = ("served-model-name", "revision", "dtype", "quantization", "distributed-executor-backend")
"""Flags whose value of the chart is a text."""
LEFT_TO_THE_CHART = ("api-key", "nnodes", "node-rank", "master-addr", "master-port", "headless")
"""Flags that the chart or its start script sets."""


def words_of_line(line: str) -> list[str]:
    """Return the words of a command line, without its continuations."""
    return shlex.split(re.sub(r"\\\n\s*", " ", line))


def values_of(words: Sequence[str]) -> Values:
    """Return the values that say what ``VARIABLE=x vllm serve MODEL --flag …`` says.

    Flags that a value of the chart sets become that value; all others become entries of ``engine.args``.
    """
    start = list(words).index("serve")
    values: Values = {"engine": {"args": {}, "env": dict(word.split("=", 1) for word in words[: start - 1])}}
    rest = _split_at_equals(words[start + 1 :])
    if rest and not rest[0].startswith("-"):
        _set(values, "model.name", rest.pop(0))
    flag = ""
    given: dict[str, list[str]] = {}
    for word in rest:
        if _is_flag(word):
            flag = _long(word)
            given.setdefault(flag, [])
        else:
            given.setdefault(flag, []).append(word)
    for flag, items in given.items():
        value = items[0] if flag in TEXTS and len(items) == 1 else _value(flag, items)
        if flag in OWNED:
            _set(values, OWNED[flag], value)
        elif flag not in LEFT_TO_THE_CHART:
            values["engine"]["args"][flag] = value
    _size(values)
    return values


def _split_at_equals(words: Sequence[str]) -> list[str]:
    split = []
    for word in words:
        flag, equals, value = word.partition("=")
        split += [flag, value] if _is_flag(word) and equals else [word]
    return split


def _is_flag(word: str) -> bool:
    return bool(re.match(r"--?[A-Za-z]", word))


def _long(word: str) -> str:
    base, dot, keys = word.partition(".")
    if word[:2] == "-O":
        return "optimization-level"
    long = SHORT.get(base) or base.lstrip("-").replace("_", "-")
    return f"{long}{dot}{keys}"


def _value(flag: str, items: Sequence[str]) -> Any:
    if not items:
        return True
    read = [_typed(item) for item in items]
    return read[0] if len(read) == 1 else read


def _typed(word: str) -> Any:
    """Return a word as somebody writes it into YAML: numbers and maps as such, anything else as a text."""
    if re.fullmatch(r"-?\d+(\.\d+)?", word) or word[:1] in "{[":
        try:
            return json.loads(word)
        except ValueError:
            return word
    return word


def _set(values: Values, key: str, value: Any) -> None:
    section, name = key.split(".")
    values.setdefault(section, {})[name] = value


def _size(values: Values) -> None:
    """Give the group as many GPUs as the layout needs, on nodes of eight."""
    sizes = [values.get("parallelism", {}).get(name, 1) for name in ("tensor", "pipeline", "data")]
    if all(isinstance(size, int) and size > 0 for size in sizes):
        ranks = math.prod(sizes)
        nodes = max(1, ranks // 8)
        values["group"] = {"nodes": nodes, "gpusPerNode": ranks // nodes}
        values.setdefault("parallelism", {}).setdefault("tensor", 1)
        values["parallelism"].setdefault("pipeline", 1)
