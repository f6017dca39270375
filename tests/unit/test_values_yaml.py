"""Reading and merging values as Helm does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmn.core.values.yaml import ValuesError, dotted, effective, leaves, merged, nested, parse_values, sets

NAMES = st.text("abc", min_size=1, max_size=2)
LEAF = st.one_of(st.integers(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
VALUES = st.dictionaries(NAMES, st.recursive(LEAF, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("0x10", 16),
        ("0.9", 0.9),
        ("1e3", 1000.0),
        ("yes", True),
        ("on", True),
        ("~", None),
        ('"8"', "8"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("v0.1", "v0.1"),
        ("10Gi", "10Gi"),
    ],
)
def test_parse_values_reads_a_scalar_as_helm_does(text: str, value: object) -> None:
    parsed = parse_values(f"a: {text}\n")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_parse_values_makes_every_key_text_when_it_is_a_number_or_a_boolean() -> None:
    assert parse_values("8: a\ntrue: b\n") == {"8": "a", "true": "b"}


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a"),
        ("a:\n  b: 1\n  b: 1\n", 3, "b"),
        ("a: [1\n", 2, ""),
        ("- a\n", 1, ""),
        ("a: 1\n---\nb: 2\n", 2, ""),
    ],
    ids=["twice", "twice-deeper", "syntax", "list", "two-documents"],
)
def test_parse_values_names_the_line_when_the_text_is_no_values_file(text: str, line: int, key: str) -> None:
    with pytest.raises(ValuesError) as caught:
        parse_values(text)
    assert (caught.value.line, caught.value.key) == (line, key)


def test_parse_values_accepts_anchors_and_merge_keys() -> None:
    assert parse_values("a: &a {x: 1}\nb: {<<: *a, y: 2}\n")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": None}, {"a": None}, {"a": None}),
        ({}, {"a": None}, {"a": None}),
        ({"a": {"b": None}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merged_does_as_helm(base: dict[str, Any], over: dict[str, Any], result: dict[str, Any]) -> None:
    assert merged(base, over) == result


def test_effective_drops_the_nulls_of_the_defaults_only() -> None:
    assert effective({"a": None, "b": {"c": None, "d": 1}}, {"b": {"e": None}}) == {"b": {"d": 1, "e": None}}


@given(VALUES)
def test_merged_changes_nothing_when_merged_with_itself(values: dict[str, Any]) -> None:
    assert merged(values, values) == values
    assert merged(values, {}) == values


@given(VALUES)
def test_leaves_rebuild_the_values(values: dict[str, Any]) -> None:
    rebuilt: dict[str, Any] = {}
    for path, value in leaves(values):
        rebuilt = merged(rebuilt, nested(path, value))
    assert rebuilt == values


def test_dotted_names_keys_and_items() -> None:
    assert dotted(["a", "b", 0, "c"]) == "a.b[0].c"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("engine.args.a.b", True),
        ("engine.args.a.b.c", False),
        ("engine.args.a", True),
        ("engine.args.a.d", True),
        ("engine.args.a.e", False),
        ("engine.args.ab", False),
        ("engine.args.list[1].x", True),
        ("engine.other", False),
        ("other", False),
    ],
)
def test_key_is_found_when_a_key_of_the_file_has_dots(key: str, found: bool) -> None:
    values = {"engine": {"args": {"a.b": 1, "a": {"d": 2}, "list": [1, 2]}}}
    assert sets(values, key) is found
