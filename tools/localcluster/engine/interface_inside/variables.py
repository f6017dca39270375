"""The variables that vLLM reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import vllm

VARIABLE = re.compile(r"VLLM_[A-Z0-9_]+")


def variables() -> set[str]:
    """Return the names of variables that vLLM's sources read: those that they give as a text of its own."""
    seen: set[str] = set()
    for path in sorted(Path(vllm.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                seen.add(node.value)
    return seen
