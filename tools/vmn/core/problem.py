"""One thing that is wrong with a values file."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Key, what was given, why that can't work and what to write instead."""

    key: str
    value: str
    reason: str
    fix: str
    ring: str
    """Who found it: ``yaml``, ``schema``, ``rules``, ``render`` or ``model``."""
    file: str = ""

    @property
    def message(self) -> str:
        """The problem without file and key; of the chart's rules: what is wrong (got VALUE). What to do."""
        if self.ring == "rules" and self.value:
            return f"{self.reason.removesuffix('.')} (got {self.value}). {self.fix}".strip()
        return " ".join(part for part in (self.value, self.reason, self.fix) if part)


def shown(value: object, limit: int = 60) -> str:
    """Return a value as it would be written in JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"
