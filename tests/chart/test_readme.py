"""The chart's README: its table of objects is what the templates can render."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.paths import CHART, CI_VALUES, MAIN_PRESETS
from kit.render import render

TEXT = (CHART / "README.md").read_text(encoding="utf-8")
HASH = re.compile(r"(?<=-)[0-9a-f]{8}$")
"""The end of a Job's name, which the README leaves open."""
ANY_VALUES = [*CI_VALUES, *MAIN_PRESETS, *valid_cases()]
NOT_IN_A_CASE: list[dict[str, Any]] = [
    {"model": {"name": "a/b"}, "auth": {"huggingFace": {"token": "hf_x"}}},
    {"model": {"name": "a/b"}, "fabric": {"profile": "mnnvl"}},
]
"""Values that render an object which none of the values files has."""


def listed() -> set[tuple[str, str]]:
    """Return kind and name of every object in the table."""
    _, _, rest = TEXT.partition("## Installed objects")
    rows = [line.split("|")[1:3] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return {(kind.strip(), name.strip(" `")) for kind, name in rows[2:]}


def rendered() -> Iterator[tuple[str, str]]:
    """Yield kind and name of every object, under the name that the README uses."""
    every = [render({"fullnameOverride": None}, file) for file in ANY_VALUES]
    for manifests in [*every, *(render(values) for values in NOT_IN_A_CASE)]:
        yield from ((kind, HASH.sub("…", name)) for kind, name in manifests.inventory())


@pytest.mark.slow
def test_readme_lists_exactly_the_objects_that_the_templates_can_render() -> None:
    assert set(rendered()) == listed()


def test_every_template_of_an_object_is_in_the_table() -> None:
    kinds = {
        kind
        for file in (CHART / "templates").rglob("*.yaml")
        for kind in re.findall(r"(?m)^kind: (\w+)$", Path(file).read_text(encoding="utf-8"))
    }
    assert kinds == {kind for kind, _ in listed()}
