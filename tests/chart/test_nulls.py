"""Every key of values.yaml that is null or missing renders as documented, or is refused by name."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from chartfiles.schema import may_be_null
from kit.paths import CHART
from kit.previous import previous
from kit.render import Helm, HelmFailed, helm_program, render, yaml_of
from vmn.app.validation import values_problems
from vmn.core.values.helm_messages import rule_problems
from vmn.core.values.schema import is_renamed

pytestmark = pytest.mark.slow
SCHEMA: Mapping[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
BASE = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
HELMS: tuple[Helm, ...] = ("helm", "helm3")


def keys(node: Mapping[str, Any] = SCHEMA, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Yield every key, also of maps, and whether it may be null."""
    for name, inner in node.get("properties", {}).items():
        if not is_renamed(inner):
            yield ".".join([*path, name]), may_be_null(inner)
            if inner.get("type") == "object":
                yield from keys(inner, (*path, name))


ALLOWED = [key for key, allowed in keys() if allowed]
REFUSED = [key for key, allowed in keys() if not allowed]
DEPTHS = sorted({key.count(".") for key in REFUSED})


def with_null(*found: str) -> dict[str, Any]:
    """Return values with some keys that are null; ``merged`` would remove them."""
    values: dict[str, Any] = copy.deepcopy(BASE)
    for key in found:
        *parents, last = key.split(".")
        here = values
        for name in parents:
            here = here.setdefault(name, {})
        here[last] = None
    return values


def refusals(values: Mapping[str, Any] | None, chart: Path = CHART, helm: Helm = "helm") -> list[str]:
    """Return the keys that are refused, each with the flag of Helm that may help."""
    with pytest.raises(HelmFailed) as failed:
        render(values, chart=chart, helm=helm)
    found = rule_problems(failed.value.stderr)
    assert found, failed.value.stderr
    assert all("use --reset-then-reuse-values instead" in item.fix for item in found)
    assert {item.reason for item in found} == {"must not be null or missing"}
    return [item.key for item in found]


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


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_null_is_refused_by_name(depth: int, helm: Helm) -> None:
    """All keys of the same depth at once: none of them contains another."""
    wanted = [key for key in REFUSED if key.count(".") == depth]
    assert refusals(with_null(*wanted), helm=helm) == wanted


@pytest.mark.parametrize("key", ["networkPolicy", "engine.masterPort", "weights", "probes.liveness.periodSeconds"])
def test_null_alone_is_refused_once(key: str) -> None:
    assert refusals(with_null(key)) == [key]


def test_vmn_validate_names_it_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml_of(with_null("networkPolicy.enabled")), encoding="utf-8")
    (found,) = values_problems(CHART, file, helm=str(helm_program()))
    assert (found.key, found.ring, found.file) == ("networkPolicy.enabled", "rules", str(file))


def reusing(values: str, folder: Path) -> Path:
    """Return the chart as ``helm upgrade --reuse-values`` sees it, with the values of the old chart as its own."""
    chart = Path(shutil.copytree(CHART, folder / CHART.name))
    (chart / "values.yaml").write_text(values, encoding="utf-8")
    return chart


@pytest.mark.parametrize("helm", HELMS)
def test_reused_values_of_the_previous_chart_are_refused_with_what_to_use_instead(tmp_path: Path, helm: Helm) -> None:
    old = (previous().chart / "values.yaml").read_text(encoding="utf-8")
    found = refusals(BASE, reusing(old, tmp_path), helm)
    assert {"airGap", "weights.download", "scheduling.subGroup"} <= set(found) <= set(REFUSED)


@pytest.mark.parametrize("key", ["airGap", "weights.download", "monitoring.rules.labels", "scheduling.subGroup"])
def test_reused_values_without_one_key_are_refused_by_its_name(tmp_path: Path, key: str) -> None:
    values: Any = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    *parents, last = key.split(".")
    reduce(lambda here, name: here[name], parents, values).pop(last)
    assert refusals(BASE, reusing(yaml.safe_dump(values), tmp_path)) == [key]
