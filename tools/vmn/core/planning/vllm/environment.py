"""Environment variables of vLLM that change what the planner counts, as data: ``engine.env`` of a release."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.names import similar

MIB = 2**20


@dataclass(frozen=True)
class Variable:
    """A variable that the planner knows.

    Attributes:
        field: the field of ``VllmOptions`` that it sets.
        read: what vLLM makes of its text (0.33, ``envs.py``); a ValueError where vLLM does not start.
        wanted: what it takes, for people.
        instead: a value that works.
    """

    field: str
    read: Callable[[str], object]
    wanted: str
    instead: str


class Misread(Exception):  # noqa: N818 - reads as what happened
    """A variable has a value that vLLM can't read, or the planner does not know the variable.

    Attributes:
        name: the variable.
        value: its value.
        reason: what is wrong.
        fix: what to do.
    """

    def __init__(self, name: str, value: str, reason: str, fix: str) -> None:
        """Take what is wrong, and what to do."""
        super().__init__(f"{name} {reason} (got {value}). {fix}")
        self.name, self.value, self.reason, self.fix = name, value, reason, fix


def _switch(text: str) -> bool:
    return bool(int(text))


def _long(text: str) -> bool:
    return text.strip().lower() in ("1", "true")


def _logits(text: str) -> int:
    """Return the bytes of the indexer's logits."""
    size = int(text)
    if size < 1:
        raise ValueError(text)
    return size * MIB


def _partition(text: str) -> tuple[int, ...]:
    """Return the layers of each stage (``get_pp_indices``)."""
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 0:
        raise ValueError(text)
    return counts


VARIABLES: Mapping[str, Variable] = {
    "VLLM_USE_FLASHINFER_SAMPLER": Variable("flashinfer", _switch, "0 or 1", 'Write "0" or "1".'),
    "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": Variable("graphs_charged", _switch, "0 or 1", 'Write "0" or "1".'),
    "VLLM_SPARSE_INDEXER_MAX_LOGITS_MB": Variable(
        "index_logits", _logits, "a whole number of MiB", 'Write "512", which is the default, or remove it.'
    ),
    "VLLM_PP_LAYER_PARTITION": Variable(
        "partition", _partition, "the layers of each stage", 'Write whole numbers with commas, such as "31,30".'
    ),
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": Variable("beyond_limit", _long, "0 or 1", 'Write "0" or "1".'),
}
"""The variables by their names. Others that take memory are not here, because the planner does not model what they
change: those of all-reduce (``VLLM_ALLREDUCE_USE_*``, ``VLLM_FLASHINFER_ALLREDUCE_BACKEND``), whose workspaces were
measured only together; those of DeepGEMM, with which small batches still run on Triton's kernels
(``TritonOrDeepGemmExperts``); and FlashInfer's workspace, which the attention of Blackwell takes."""


def settings(env: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields of ``VllmOptions`` that variables set; other variables are left out.

    Raises:
        Misread: vLLM can't read a value, and ends when it starts.
    """
    return {VARIABLES[name].field: read(name, value) for name, value in env.items() if name in VARIABLES}


def read(name: str, value: object) -> object:
    """Return what vLLM makes of the value of a variable that the planner knows.

    Raises:
        Misread: vLLM can't read it, and ends when it starts.
    """
    variable, text = VARIABLES[name], str(value)
    try:
        return variable.read(text)
    except ValueError as error:
        reason = f"takes {variable.wanted}: vLLM can't read anything else, and does not start"
        raise Misread(name, text, reason, variable.instead) from error


def known_variables(given: Iterable[str]) -> dict[str, str]:
    """Return variables by their names.

    Args:
        given: the variables as ``NAME=VALUE``.

    Raises:
        Misread: one has no value, or is not one that the planner knows.
    """
    found: dict[str, str] = {}
    for entry in given:
        name, sign, value = entry.partition("=")
        if name not in VARIABLES:
            near = similar(name, list(VARIABLES), 1)
            fix = f"Did you mean {near[0]}?" if near else f"It counts {', '.join(VARIABLES)}."
            raise Misread(name, value if sign else "no value", "changes nothing that the planner counts", fix)
        if not sign:
            raise Misread(name, "no value", f"takes {VARIABLES[name].wanted}", f"Write {name}=VALUE.")
        found[name] = value
    return found
