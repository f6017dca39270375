"""Every key of values.yaml set to null renders as documented, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from chartfiles.schema import may_be_null
from kit.paths import CHART
from kit.render import Helm, HelmFailed, render
from vmn.core.values.schema import is_renamed, schema_problems
from vmn.core.values.yaml import effective, merged, nested, parse_values

pytestmark = pytest.mark.slow
SCHEMA: Mapping[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))
BASE = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}


def keys(node: Mapping[str, Any] = SCHEMA, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Yield every key, also of maps, and whether it may be null."""
    for name, inner in node.get("properties", {}).items():
        if not is_renamed(inner):
            yield ".".join([*path, name]), may_be_null(inner)
            if inner.get("type") == "object":
                yield from keys(inner, (*path, name))


ALLOWED = [key for key, allowed in keys() if allowed]
REFUSED = [key for key, allowed in keys() if not allowed]


def with_null(key: str) -> dict[str, Any]:
    return merged(BASE, nested(key.split("."), None))


def test_there_are_keys_of_both_kinds() -> None:
    assert "weights.volume.size" in ALLOWED
    assert {"networkPolicy", "networkPolicy.enabled", "engine.masterPort"} <= set(REFUSED)
    assert len(ALLOWED) + len(REFUSED) > 200


@pytest.mark.parametrize("key", ALLOWED)
def test_null_renders_or_a_rule_names_the_key(key: str) -> None:
    try:
        text = json.dumps(list(render(with_null(key))), default=str)
    except HelmFailed as failed:
        assert f"  - {key}: " in str(failed)
    else:
        assert "<nil>" not in text
        assert "%!" not in text


@pytest.mark.parametrize("key", REFUSED)
def test_null_is_refused_by_name(key: str) -> None:
    found = schema_problems(effective(DEFAULTS, nested(key.split("."), None)), SCHEMA)
    assert [(item.key, item.reason) for item in found] == [(key, "must not be null")]


@pytest.mark.parametrize("helm", ["helm", "helm3"])
@pytest.mark.parametrize(
    "key", ["networkPolicy.enabled", "networkPolicy", "engine.masterPort", "probes.liveness.periodSeconds"]
)
def test_helm_names_a_key_that_must_not_be_null(key: str, helm: Helm) -> None:
    with pytest.raises(HelmFailed) as refused:
        render(with_null(key), helm=helm)
    assert key.rpartition(".")[2] in str(refused.value)
