"""The generator of the schema and of the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from chartfiles.schema import closed_objects, generated_schema, schema_leaves, with_hints
from chartfiles.tables import overlays_table, replaced, values_table
from vmn.core.values.schema import without_hints
from vmn.core.values.yaml import Values, parse_values

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


def test_generated_schema_lists_the_allowed_names_when_an_object_is_closed() -> None:
    schema = json.loads(generated_schema(SOURCE))
    assert schema["additionalProperties"]["const"] == "left out; allowed: a, b"
    assert schema["properties"]["a"]["additionalProperties"]["const"] == "left out; allowed: free, x"
    assert "additionalProperties" not in schema["properties"]["a"]["properties"]["free"]
    assert "make generate" in schema["$comment"]


def test_generated_schema_says_the_form_in_words_when_a_pattern_has_a_title() -> None:
    node = with_hints({"type": "string", "pattern": "^[0-9]+Gi$", "title": "a size, such as 1Gi"})
    assert node["allOf"][0]["then"] == {"const": "a size, such as 1Gi"}
    assert not Draft7Validator(node).is_valid("1G")
    assert Draft7Validator(node).is_valid("1Gi")


def test_hints_can_be_removed() -> None:
    source = parse_values(SOURCE)
    assert without_hints(with_hints(source)) == source


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


def test_overlays_table_takes_missing_values_from_the_defaults() -> None:
    defaults: Values = {"group": {"nodes": 2, "gpusPerNode": 8}, "parallelism": {"tensor": 8, "pipeline": 2}}
    overlay: Values = {
        "model": {"name": "a/b", "maxLength": 65536},
        "group": {"nodes": 1},
        "parallelism": {"pipeline": 1},
    }
    table = overlays_table({Path("values/b.yaml"): overlay}, defaults)
    row = "| `a/b` | 1 x 8 | tensor 8 | 65,536 tokens | [b.yaml](values/b.yaml) |"
    assert table.splitlines()[-1] == row


def test_replaced_changes_only_what_is_between_the_markers() -> None:
    text = "a\n<!-- generated:t -->\nold\n<!-- /generated:t -->\nb\n"
    assert replaced(text, "t", "new") == "a\n<!-- generated:t -->\nnew\n<!-- /generated:t -->\nb\n"
    assert replaced("no markers", "t", "new") == "no markers"


def test_replaced_raises_when_the_end_is_missing() -> None:
    with pytest.raises(ValueError, match="without"):
        replaced("<!-- generated:t -->", "t", "new")
