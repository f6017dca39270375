"""A mistake in a values file."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class ValuesProblem:
    """A mistake in a values file.

    Attributes:
        key: full path of the key.
        value: the value found, as JSON; empty when it does not matter.
        reason: what is wrong, without the value and the final period.
        fix: what to do, in whole sentences.
        ring: which check found it: ``yaml``, ``schema``, ``rules``, ``render``, ``vllm``, ``model``, or ``pairing``.
        file: the file that sets the key.
    """

    key: str
    value: str
    reason: str
    fix: str
    ring: str
    file: str = ""

    @property
    def message(self) -> str:
        """The problem in whole sentences, without file and key."""
        got = f" (got {self.value})" if self.value else ""
        return f"{self.reason}{got}. {self.fix}".strip()


def shown(value: object, limit: int = 60) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"
