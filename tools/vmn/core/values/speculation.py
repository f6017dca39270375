"""What values ask of speculative decoding, in each form that the chart and vLLM read, and what a model makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.model.speculation import refused_drafts, uses_own_layers
from vmn.core.planning.vllm.versions import BEHAVIOURS
from vmn.core.values.problem import ValuesProblem, shown
from vmn.core.values.vllm_combinations import AS_KEYS, as_map
from vmn.core.values.vllm_words import value_of_key, word_of
from vmn.core.values.yaml import merged, nested

OWN = "speculativeTokens"
"""The chart's value, in ``engine``."""
FLAG = "speculative-config"
SHORTEST = "specu"
"""What names at least begin with that vLLM completes to ``FLAG``."""


@dataclass(frozen=True)
class Speculation:
    """What values ask for.

    Attributes:
        key: full path of the key that asks for it.
        fields: the fields of ``--speculative-config``.
    """

    key: str
    fields: Mapping[str, Any]

    @property
    def tokens(self) -> int:
        """Tokens that the model's own layers draft in a step, 0 if others draft or the number is missing."""
        count = self.fields.get("num_speculative_tokens")
        return count if uses_own_layers(self.fields) and isinstance(count, int) else 0


def asked_speculation(engine: Mapping[str, Any]) -> Speculation | None:
    """Return what the chart's section ``engine`` asks for, None without speculative decoding."""
    if tokens := engine.get(OWN):
        return Speculation(f"engine.{OWN}", {"method": "mtp", "num_speculative_tokens": tokens})
    names: list[str] = []
    fields: Mapping[str, Any] = {}
    for name, value in (engine.get("args") or {}).items():
        if value is not None and (given := _fields_of(name, value)):
            names.append(name)
            fields = merged(fields, given)
    return Speculation(f"engine.args.{names[0]}", fields) if names else None


def _fields_of(name: str, value: object) -> Mapping[str, Any]:
    """Return the fields that an entry of ``engine.args`` sets, empty if it is for something else."""
    base, *keys = name.split(".")
    if base in AS_KEYS:
        return {AS_KEYS[base]: value}
    if not (base.startswith(SHORTEST) and FLAG.startswith(base)):
        return {}
    given = nested([keys[0].replace("-", "_"), *keys[1:]], value_of_key(word_of(value))) if keys else as_map(value)
    return {field.replace("-", "_"): inner for field, inner in given.items()}


def speculation_problems(
    asked: Speculation, model: Architecture, version: tuple[int, int] | None
) -> Iterator[ValuesProblem]:
    """Yield what vLLM refuses of a model's own drafting layers.

    Args:
        asked: what the values ask for.
        model: shapes of the model.
        version: vLLM's version, None for an image that is not known: it may have methods for other models.
    """
    unread = version is None or version > BEHAVIOURS[-1].since
    if not uses_own_layers(asked.fields) or (model.mtp is None and unread):
        return
    if not asked.tokens:
        fix = f"Set num_speculative_tokens too, or only engine.{OWN}."
        yield ValuesProblem(asked.key, "", "asks for multi-token prediction without a number of tokens", fix, "model")
    elif reason := refused_drafts(asked.tokens, model):
        depth = model.mtp.depth if model.mtp else 0
        fix = f"Use at most {depth}, or a multiple of {depth}." if depth else "Remove it."
        yield ValuesProblem(asked.key, shown(asked.tokens), f"can't be used: {reason}", fix, "model")
