"""One word for one thing: names of classes, and phrases that native speakers would not use."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from kit.paths import CHART, CHECKOUT, name_of

TOOLS = sorted((CHECKOUT / "tools").rglob("*.py"))
SHIPPED = [*TOOLS, *sorted((CHECKOUT / "charts").rglob("*.py"))]
VMN = [file for file in TOOLS if (CHECKOUT / "tools" / "vmn") in file.parents]
TEXTS = [*VMN, CHECKOUT / "tools" / "vmn" / "data" / "signatures.yaml"]
UNIDIOMATIC = re.compile(r" is no [a-z]|\banew\b|\bnobody\b|\bfor ever\b|\bbesides\b|stops to ")
WRITTEN = (".py", ".sh", ".go", ".md", ".yaml", ".tpl", ".txt", ".toml")
"""How the names of files end that people write, and not programs."""
ABANDONED = re.compile(r"\b(?:overlays?|inpod|made anew|follower)\b(?!-probe)", re.IGNORECASE)
"""Words that the glossary replaces."""
FOLDER = re.compile(r"(?<!Grafana )(?<![/\w])folders?\b(?!\.py)", re.IGNORECASE)
"""What Kubernetes calls a directory, other than in the name of a file."""
READ_BY_USERS = [
    *sorted(CHECKOUT.glob("*.md")),
    *(file for part in ("charts", "docs", "images", "values") for file in sorted((CHECKOUT / part).rglob("*.md"))),
    *(CHART / name for name in ("values.yaml", "values.schema.yaml", "templates/NOTES.txt")),
]
GLOSSARY = CHECKOUT / "docs" / "glossary.md"


def test_no_two_classes_share_a_name() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in SHIPPED]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_file_has_an_unidiomatic_phrase() -> None:
    parts = ("benchmarks", "charts", "docs", "examples", "findings", "images", "tests", "tools", "values")
    files = [*CHECKOUT.glob("*.*"), *(file for part in parts for file in sorted((CHECKOUT / part).rglob("*")))]
    found = [
        f"{name_of(file)}: {line}"
        for file in files
        if file.suffix in WRITTEN and file != Path(__file__)
        for line in file.read_text(encoding="utf-8").splitlines()
        if UNIDIOMATIC.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_text_uses_the_words_of_the_glossary(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if UNIDIOMATIC.search(line) or ABANDONED.search(line)] == []


@pytest.mark.parametrize("file", [file for file in READ_BY_USERS if file != GLOSSARY], ids=name_of)
def test_document_uses_the_words_of_kubernetes(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if UNIDIOMATIC.search(line) or FOLDER.search(line)] == []
