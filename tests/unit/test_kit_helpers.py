"""The kit's diff and the reading of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import Expected, expected
from kit.diff import changed_paths


@pytest.mark.parametrize(
    ("one", "other", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, ["a.b", "a.c"]),
        ({"e": [{"name": "x", "v": 1}, {"name": "y"}]}, {"e": [{"name": "x", "v": 2}]}, ["e[x].v", "e[y]"]),
        ({"e": [1, 2]}, {"e": [1]}, ["e[1]"]),
        ({"a": [1]}, {"a": {"b": 1}}, ["a"]),
    ],
)
def test_changed_paths_lists_every_difference(one: Any, other: Any, paths: list[str]) -> None:
    assert changed_paths(one, other) == paths
    assert changed_paths(other, one) == paths


def test_expected_returns_every_line_when_there_are_several(tmp_path: Path) -> None:
    case = tmp_path / "case.yaml"
    case.write_text('# expect: ring=schema key=a.b text="two words"\n# expect: ring=rules key=c text=one\na: 1\n')
    assert expected(case) == [Expected("schema", "a.b", "two words"), Expected("rules", "c", "one")]


@pytest.mark.parametrize("text", ["a: 1\n", "# expect: ring=schema key=a\n", "# expect: ring=other key=a text=b\n"])
def test_expected_raises_when_a_case_does_not_say_what_it_expects(tmp_path: Path, text: str) -> None:
    case = tmp_path / "case.yaml"
    case.write_text(text)
    with pytest.raises(ValueError, match=r"case\.yaml"):
        expected(case)
