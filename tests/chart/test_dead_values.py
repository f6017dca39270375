"""No value is dead: each changes what is rendered, or is refused by a rule, with at least one values file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chartfiles.schema import schema_leaves
from chartfiles.tables import lookup
from kit.cases import valid_cases
from kit.paths import CHART, CI_VALUES, MAIN_PRESETS
from kit.render import HelmFailed, InvalidObjects, render
from kit.samples import other_values
from vmn.core.values.helm_messages import rule_problems
from vmn.core.values.yaml import merged, nested, parse_values

pytestmark = pytest.mark.slow
TRIED_PER_FILE = 4
"""Number of other values to try with each values file."""
PLACES = [*CI_VALUES, *MAIN_PRESETS, *valid_cases()]


def leaves() -> list[tuple[str, Mapping[str, Any]]]:
    """Return the schema's leaves."""
    schema = CHART / "values.schema.json"
    return list(schema_leaves(_read(schema))) if schema.is_file() else []


def _read(schema: Path) -> dict[str, Any]:
    loaded: Any = json.loads(schema.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@cache
def read_values(file: Path) -> Mapping[str, Any]:
    """Return the values of a file, which is read only once."""
    return parse_values(file.read_text(encoding="utf-8"))


def nearest_first(key: str) -> list[Path]:
    """Return all values files, starting with those that set the value or most of the maps around it."""
    parts = key.split(".")

    def parts_set(place: Path) -> int:
        values: Any = read_values(place)
        for depth, part in enumerate(parts):
            if not isinstance(values, Mapping) or part not in values:
                return depth
            values = values[part]
        return len(parts)

    return sorted(PLACES, key=parts_set, reverse=True)


def _changes(key: str, leaf: Mapping[str, Any], tried: list[str]) -> Iterator[bool]:
    defaults = read_values(CHART / "values.yaml")
    root = _read(CHART / "values.schema.json")
    for place in nearest_first(key):
        now = lookup(merged(defaults, read_values(place)), key)
        for value in other_values(leaf, now, root)[:TRIED_PER_FILE]:
            before = list(render(None, place))
            try:
                changed = list(render(nested(key.split("."), value), place)) != before
            except InvalidObjects:
                changed = True  # a passthrough: the invented value is not valid in Kubernetes, but it is rendered
            except HelmFailed as error:
                changed = bool(rule_problems(error.stderr))  # a rule refuses it, as it does not fit the other values
                tried.append(f"{place.name} with {value!r}: {error.stderr.strip()[-200:]}")
            else:
                tried.append(f"{place.name} with {value!r}: no change")
            yield changed


@pytest.mark.parametrize(("key", "leaf"), leaves(), ids=[key for key, _ in leaves()])
def test_value_changes_what_is_rendered(key: str, leaf: Mapping[str, Any]) -> None:
    tried: list[str] = []
    changes = any(_changes(key, leaf, tried))
    assert changes, f"{key} changes nothing:\n" + "\n".join(tried)
