"""The schema, the values, and the files generated from them agree."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from chartfiles.__main__ import generated
from chartfiles.schema import closed_objects, schema_leaves
from kit.eitherhelm import either_helm
from kit.paths import CHART, CHECKOUT
from kit.render import Helm, HelmFailed, render
from vmn.core.values.schema import known_keys, nearest, schema_problems
from vmn.core.values.yaml import Values, effective, leaves, merged, nested, parse_values

PLAIN = {
    *("$schema", "$comment", "title", "description", "type", "enum", "examples"),
    *("properties", "required", "additionalProperties", "items", "uniqueItems", "minItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"),
}
"""Keywords that every editor understands."""
SENTENCE = re.compile(r"^[A-Z`/].{7,}\.$", re.DOTALL)
"""The form of a description."""
VALUES_BUDGET = 250
"""Maximum number of lines of values.yaml."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the chart's schema."""
    loaded: Any = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def values() -> Values:
    """Return the chart's defaults."""
    return parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_generated_files_are_up_to_date() -> None:
    stale = [str(path.relative_to(CHECKOUT)) for path, text in generated().items() if path.read_text("utf-8") != text]
    assert stale == [], "run make generate"


def test_schema_is_a_valid_draft_07_schema(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(schema)


def test_schema_accepts_the_defaults(schema: dict[str, Any], values: Values) -> None:
    for seen in (values, effective(values, {})):  # Helm 3 keeps the nulls of values.yaml, Helm 4 drops them
        assert [f"{item.key} {item.message}" for item in schema_problems(seen, schema)] == []


def test_every_key_has_a_description_that_ends_like_a_sentence(schema: dict[str, Any]) -> None:
    described = {**dict(schema_leaves(schema)), **dict(closed_objects(schema))}
    bad = {key for key, node in described.items() if not SENTENCE.match(str(node.get("description", "")))}
    assert bad == set()


def test_every_leaf_of_the_schema_has_a_type(schema: dict[str, Any]) -> None:
    kinds = {"type", "enum", "const", "anyOf", "oneOf"}
    assert [key for key, leaf in schema_leaves(schema) if not kinds & set(leaf)] == []


def test_schema_and_values_have_the_same_leaves(schema: dict[str, Any], values: Values) -> None:
    wanted = {key for key, _ in schema_leaves(schema)}
    given = {".".join(path) for path, _ in leaves(values)}
    inside = {key for key in given for leaf in wanted if key.startswith(f"{leaf}.")}
    given = (given - inside) | {leaf for leaf in wanted for key in inside if key.startswith(f"{leaf}.")}
    assert sorted(wanted - given) == [], "in the schema, but not in values.yaml"
    assert sorted(given - wanted) == [], "in values.yaml, but not in the schema"


def test_root_accepts_global(schema: dict[str, Any], values: Values) -> None:
    assert schema_problems(merged(values, {"global": {"anything": {"at": "all"}}}), schema) == []
    assert render({"global": {"anything": 1}}, *_base())


def test_every_map_is_closed_unless_it_is_a_passthrough(schema: dict[str, Any]) -> None:
    closed = {path for path, _ in closed_objects(schema)}
    groups = {
        ".".join(parts[:end])
        for key, _ in schema_leaves(schema)
        for parts in [key.split(".")]
        for end in range(len(parts))
    }
    assert sorted(groups - closed) == ["global"], "a parent chart shares there what it likes"


def test_values_yaml_stays_short() -> None:
    assert len((CHART / "values.yaml").read_text(encoding="utf-8").splitlines()) < VALUES_BUDGET


def _typos(name: str) -> Iterator[str]:
    for place in range(len(name)):
        yield name[:place] + name[place + 1 :]
        yield name[:place] + name[place].swapcase() + name[place + 1 :]
        yield name[: place + 1] + name[place:]
        yield name[:place] + name[place + 1 : place + 2] + name[place] + name[place + 2 :]
        yield name[:place] + string.ascii_lowercase[place % 26] + name[place + 1 :]


def unknown_keys(path: str, keys: set[str], schema: dict[str, Any]) -> list[str]:
    """Return the keys of an object that are refused as unknown. All keys are tried at once."""
    here: dict[str, Any] = dict.fromkeys(keys, 1)
    found = schema_problems(nested(path.split("."), here) if path else here, schema)
    return sorted(item.key.removeprefix(f"{path}.") for item in found if item.reason == "unknown key")


def test_typos_of_one_character_are_refused_and_most_get_a_suggestion(schema: dict[str, Any]) -> None:
    understood, tried = 0, 0
    for path, node in closed_objects(schema):
        names = known_keys(node)
        typos = {name: {typo for typo in _typos(name) if typo and typo not in names} for name in names}
        every = set().union(*typos.values())
        assert unknown_keys(path, every, schema) == sorted(every), path
        tried += sum(map(len, typos.values()))
        understood += sum(nearest(typo, names) == name for name, found in typos.items() for typo in found)
    assert understood / tried > 0.9, f"{understood} of {tried}"


@either_helm
@pytest.mark.parametrize("path", ["", "group", "weights.volume"])
def test_helm_names_an_unknown_key_and_its_place(path: str, helm: Helm) -> None:
    with pytest.raises(HelmFailed) as failed:
        render(nested([*path.split("."), "tpyo"] if path else ["tpyo"], 1), *_base(), helm=helm)
    assert (
        f"at '{'/' if path else ''}{path.replace('.', '/')}': additional properties 'tpyo' not allowed"
        in failed.value.stderr
    )


@either_helm
def test_helm_names_key_and_type_when_a_type_is_wrong(helm: Helm) -> None:
    with pytest.raises(HelmFailed) as failed:
        render({"group": {"nodes": "two"}, "engine": {"backend": "rya"}}, *_base(), helm=helm)
    assert "at '/group/nodes': got string, want integer" in failed.value.stderr
    assert "at '/engine/backend': value must be one of 'mp', 'ray'" in failed.value.stderr


def test_schema_is_plain(schema: dict[str, Any]) -> None:
    """Editors and registries show it: it has no references, and nothing that only serves a program's messages."""
    assert keywords(schema) <= PLAIN


def keywords(node: Any) -> set[str]:
    """Return the keywords that a schema uses, at any depth."""
    if not isinstance(node, dict):
        return set()
    inner = [node.get("items"), node.get("additionalProperties"), *node.get("properties", {}).values()]
    return set(node).union(*(keywords(item) for item in inner))


def _base() -> list[Any]:
    return [sorted((CHART / "ci").glob("*-values.yaml"))[0]]
