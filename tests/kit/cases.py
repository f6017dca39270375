"""Values files as test cases. A wrong one has lines such as ``# expect: ring=… key=… text="…"``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from kit.paths import CASES

RINGS = ("schema", "rules", "yaml", "model")
FIELDS = ("ring", "key", "text")


@dataclass(frozen=True)
class Expected:
    """The ring that refuses a value, its key, and a part of the message."""

    ring: str
    key: str
    text: str


def invalid_cases() -> list[Path]:
    """Return the values files that must be refused."""
    return sorted((CASES / "invalid").glob("*.yaml"))


def model_cases() -> list[Path]:
    """Return the values files that render, but that the model ring must refuse."""
    return sorted((CASES / "model").glob("*.yaml"))


def valid_cases() -> list[Path]:
    """Return the values files that must render."""
    return sorted((CASES / "valid").glob("*.yaml"))


def expected(case: Path) -> list[Expected]:
    """Return the problems that a case expects.

    Raises:
        ValueError: it expects nothing, or a line has not exactly ring, key and text.
    """
    lines = re.findall(r"^# expect: (.*)$", case.read_text(encoding="utf-8"), re.MULTILINE)
    if not lines:
        raise ValueError(f"{case.name}: no line `# expect: ring=… key=… text=…`")
    return [_parsed(case, line) for line in lines]


def _parsed(case: Path, line: str) -> Expected:
    pairs = dict(word.partition("=")[::2] for word in shlex.split(line))
    if tuple(sorted(pairs)) != tuple(sorted(FIELDS)) or pairs["ring"] not in RINGS:
        raise ValueError(f"{case.name}: wanted ring={'|'.join(RINGS)} key=… text=…, got: {line}")
    return Expected(**pairs)
