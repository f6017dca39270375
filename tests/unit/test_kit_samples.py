"""The kit's other values: valid, and other."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from kit.samples import other_values

ROOT: dict[str, Any] = {"definitions": {"size": {"type": ["string", "null"], "pattern": "^[0-9]+Gi$"}}}


@pytest.mark.parametrize(
    ("leaf", "now"),
    [
        ({"type": "boolean"}, True),
        ({"type": "integer", "minimum": 1, "maximum": 2}, 2),
        ({"enum": ["a", "b", None]}, "a"),
        ({"$ref": "#/definitions/size"}, None),
        ({"type": "array", "items": {"type": "object", "required": ["name"]}}, []),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {}),
        ({"anyOf": [{"type": "integer"}, {"const": "auto"}]}, 1),
        ({"type": "string", "examples": ["special"], "pattern": "^special$"}, ""),
    ],
)
def test_other_values_are_valid_and_other(leaf: dict[str, Any], now: object) -> None:
    found = other_values(leaf, now, ROOT)
    assert found
    assert now not in found
    assert all(Draft7Validator({**leaf, **ROOT}).is_valid(value) for value in found)


def test_other_values_are_none_when_there_is_no_other() -> None:
    assert other_values({"enum": ["only"]}, "only", ROOT) == []
