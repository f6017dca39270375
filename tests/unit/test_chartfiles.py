"""The generator of the schema and of the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chartfiles.schema import closed_objects, generated_schema, schema_leaves
from chartfiles.tables import presets_table, replaced, values_table
from vmn.core.values.yaml import Values

SOURCE = """
$schema: http://json-schema.org/draft-07/schema#
type: object
additionalProperties: false
definitions:
  size: {type: [string, "null"], description: A size.}
properties:
  b: {$ref: "#/definitions/size", description: How | much.}
  a:
    type: object
    additionalProperties: false
    properties:
      x: {type: integer, description: An x.}
      free: {type: object, description: Anything.}
"""


def test_generated_schema_is_plain_and_says_who_writes_it() -> None:
    schema = json.loads(generated_schema(SOURCE))
    assert schema["additionalProperties"] is False
    assert "make generate" in schema["$comment"]


def test_generated_schema_has_every_description_beside_its_type() -> None:
    schema = json.loads(generated_schema(SOURCE))
    assert schema["properties"]["b"] == {"type": ["string", "null"], "description": "How | much."}
    assert "definitions" not in schema


def test_schema_leaves_follow_references() -> None:
    leaves = dict(schema_leaves(json.loads(generated_schema(SOURCE))))
    assert list(leaves) == ["b", "a.x", "a.free"]
    assert leaves["b"]["type"] == ["string", "null"]
    assert leaves["b"]["description"] == "How | much."


def test_closed_objects_are_the_root_and_every_closed_map() -> None:
    assert [path for path, _ in closed_objects(json.loads(generated_schema(SOURCE)))] == ["", "a"]


def test_values_table_has_a_row_for_every_value() -> None:
    table = values_table(json.loads(generated_schema(SOURCE)), {"a": {"x": 1}})
    assert table.splitlines()[2:] == [
        "| `b` | string | unset | How \\| much. |",
        "| `a.x` | integer | `1` | An x. |",
        "| `a.free` | object | unset | Anything. |",
    ]


def test_presets_table_takes_missing_values_from_the_defaults() -> None:
    defaults: Values = {"group": {"nodes": 2, "gpusPerNode": 8}, "parallelism": {"tensor": 8, "pipeline": 2}}
    preset: Values = {
        "model": {"name": "a/b", "maxLength": 65536},
        "group": {"nodes": 1},
        "parallelism": {"pipeline": 1},
    }
    table = presets_table({Path("values/b.yaml"): preset}, defaults)
    row = "| `a/b` | 1 x 8 | tensor 8 | 65,536 tokens | [b.yaml](values/b.yaml) |"
    assert table.splitlines()[-1] == row


def test_replaced_changes_only_what_is_between_the_markers() -> None:
    text = "a\n<!-- generated:t -->\nold\n<!-- /generated:t -->\nb\n"
    assert replaced(text, "t", "new") == "a\n<!-- generated:t -->\nnew\n<!-- /generated:t -->\nb\n"
    assert replaced("no markers", "t", "new") == "no markers"


def test_replaced_raises_when_the_end_is_missing() -> None:
    with pytest.raises(ValueError, match="without"):
        replaced("<!-- generated:t -->", "t", "new")
