"""The layout that vmn derives from values is the one that the chart's templates derive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.paths import CHART, MAIN_PRESETS, OTHER_PRESETS, name_of
from kit.render import render
from vmn.adapters.files import read_values
from vmn.core.planning.layout.sizes import Layout, derived_layout
from vmn.core.values.layout import layout_of
from vmn.core.values.yaml import effective

pytestmark = pytest.mark.slow


def rendered_layout(file: Path) -> Layout:
    """Return the layout that the arguments of vLLM's containers ask for."""
    arguments = render(None, file).templates()["leader"]["spec"]["containers"][0]["args"]

    def size(name: str) -> int:
        flag = f"--{name}-parallel-size"
        return int(arguments[arguments.index(flag) + 1]) if flag in arguments else 1

    return Layout(
        size("tensor"),
        size("pipeline"),
        size("data"),
        "--enable-expert-parallel" in arguments,
        size("decode-context"),
    )


@pytest.mark.parametrize("file", [*valid_cases(), *MAIN_PRESETS, *OTHER_PRESETS], ids=name_of)
def test_layout_is_the_one_that_the_chart_renders(file: Path) -> None:
    values: Any = effective(read_values(CHART / "values.yaml"), read_values(file))
    assert layout_of(values) == rendered_layout(file)


@pytest.mark.parametrize(
    ("given", "layout"),
    [
        ({}, Layout(8, 2)),
        ({"tensor": 4}, Layout(4, 2)),
        ({"pipeline": 4}, Layout(4, 4)),
        ({"data": 2}, Layout(8, 1, 2)),
        ({"data": 16, "expert": True}, Layout(1, 1, 16, True)),
        ({"data": 64}, Layout(1, 1, 64)),
        ({"decode_context": 8}, Layout(8, 2, 1, False, 8)),
    ],
)
def test_unset_sizes_are_derived_from_nodes_and_gpus(given: dict[str, Any], layout: Layout) -> None:
    assert derived_layout(2, 8, **given) == layout
