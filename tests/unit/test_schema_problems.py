"""Ring 1: what a user reads when a key or a type is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.smallchart import SCHEMA
from vmn.core.values.schema import nearest, schema_problems


def messages(values: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> list[str]:
    """Return the key and the message of each problem."""
    return [f"{problem.key}  {problem.message}" for problem in schema_problems(values, schema)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tensor": "8"}, 'tensor  must be a whole number, not text (got "8"). Write 8 without quotes.'),
        ({"tensor": 0}, "tensor  must be at least 1 (got 0). Use a number of at least 1."),
        ({"tensor": 1.5}, "tensor  must be a whole number, not a number (got 1.5). Use a number of at least 1."),
        ({"name": 8}, 'name  must be text, not a whole number (got 8). Write it in quotes: "8".'),
        ({"name": ""}, 'name  must not be empty (got ""). The value is described as: The model.'),
        ({"engine": {"backend": "Ray"}}, 'engine.backend  must be one of mp, ray (got "Ray"). Did you mean ray?'),
        ({"engine": {"trust": "true"}}, 'engine.trust  must be true or false, not text (got "true").'),
        (
            {"engine": {"maxLenght": 1}},
            "engine.maxLenght  unknown key. Did you mean maxLength? The keys of engine are backend, maxLength, trust.",
        ),
        (
            {"tensors": 1},
            "tensors  unknown key. Did you mean tensor? The top-level keys are engine, global, gpus, name,",
        ),
        ({"engine": 1}, "engine  must be a map, not a whole number (got 1)."),
    ],
)
def test_schema_problems_say_key_value_reason_and_fix(values: dict[str, Any], message: str) -> None:
    (found,) = messages(values)
    assert found.startswith(message)


def test_schema_problems_reports_all_when_there_are_several() -> None:
    found = messages({"tensor": "x", "nmae": 1, "engine": {"trust": 1, "foo": 2}})
    assert [line.split()[0] for line in found] == ["engine.foo", "engine.trust", "nmae", "tensor"]


def test_schema_problems_is_empty_when_the_values_are_good() -> None:
    assert schema_problems({"tensor": 1, "global": {"any": "thing"}, "engine": {"maxLength": None}}, SCHEMA) == []


def test_schema_problems_say_which_name_is_wrong_when_names_have_a_form() -> None:
    schema = {"properties": {"env": {"propertyNames": {"pattern": "^[A-Z_]+$", "title": "An environment variable"}}}}
    (found,) = messages({"env": {"lower": "x"}}, schema)
    assert found == ("env.lower  is not a valid key: it must be an environment variable. Change it to this form.")


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, True, "must be a whole number or text (got true)."),
        ({"anyOf": [{"type": "integer"}, {"const": "auto"}]}, "atuo", 'must be a whole number or "auto" (got "atuo").'),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}, 0, "must be at least 1 (got 0)."),
        ({"anyOf": [{"type": "null"}, {"type": "object", "required": ["name"]}]}, {}, "must not be null (got null)."),
        ({"items": {"required": ["name"]}}, [{}], "is required. Set it."),
        (
            {"pattern": "^[0-9]+Gi$", "title": "A size", "examples": ["8Gi"]},
            "8G",
            'must be a size (got "8G")',
        ),
        ({"pattern": "^[0-9]+Gi$", "examples": ["8Gi"]}, "8G", 'For example: "8Gi".'),
        ({"const": 1}, 2, "must be 1 (got 2)."),
        ({"maximum": 5, "minimum": 1}, 7, "Use a number from 1 to 5."),
        ({"items": {"type": "string"}}, [1], 'Write it in quotes: "1".'),
    ],
)
def test_schema_problems_put_every_kind_of_rule_in_words(schema: dict[str, Any], value: object, message: str) -> None:
    (found,) = messages({"a": value}, {"properties": {"a": schema}})
    assert message in found


@given(st.sampled_from(sorted(SCHEMA["properties"]["engine"]["properties"])), st.data())
def test_nearest_finds_the_key_when_one_character_is_wrong(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    typo = key[:place] + key[place + 1 :]
    assert nearest(typo, sorted(SCHEMA["properties"]["engine"]["properties"])) == key
