"""The list of ``vmn images``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from vmn.core.images import Needed

MODEL = "hf://"
"""Beginning of the line of a model, which tells it from an image."""


def text(found: Sequence[Needed]) -> str:
    """Return a line for each item: its source, and its mirrored reference if that differs."""
    return "\n".join(map(_line, found))


def _line(item: Needed) -> str:
    if item.kind == "model":
        return f"{MODEL}{item.source}"
    return item.source if item.source == item.target else f"{item.source} {item.target}"


def as_json(found: Sequence[Needed]) -> str:
    """Return the list as JSON."""
    return json.dumps([asdict(item) for item in found], indent=2)
