"""What reports for a terminal share: their width, and colors."""

from __future__ import annotations

WIDTH = 118
RED, GREEN, YELLOW, FAINT = "31", "32", "33", "2"


def colored(text: str, code: str, *, color: bool = True) -> str:
    """Return a text in a color, unchanged without colors."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
