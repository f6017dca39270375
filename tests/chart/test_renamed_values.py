"""Helm and ``vmn validate`` refuse values of earlier versions by name, and say what to set instead."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chartfiles.schema import generated_schema, schema_leaves
from kit.eitherhelm import either_helm
from kit.paths import CHART
from kit.previous import previous
from kit.render import Helm, HelmFailed, helm_program, render, yaml_of
from upgrade.table import schema_of
from vmn.app.validation import values_problems
from vmn.core.values.yaml import Values, merged, nested, parse_values

PLANTED: Mapping[str, Mapping[str, Any]] = {
    "model.maxTokens": {"to": "model.maxLength"},
    "startup.budgetMinutes": {"to": "startup.budgetSeconds", "how": "Give it in seconds: 60 times as many."},
    "engine.legacy": {"how": "Remove it: nothing reads it."},
    "runtime.image": {"to": "image.repository"},
    "auth.token": {"to": "auth.huggingFace.token", "secret": True},
    "probes.readiness.period": {"to": "probes.readiness.periodSeconds"},
}
MODEL = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
REFUSED: Mapping[str, tuple[Any, str]] = {
    # key of an earlier version: (value, the message)
    "model.maxTokens": (4096, "was renamed to model.maxLength (got 4096). Set model.maxLength: 4096."),
    "startup.budgetMinutes": (
        30,
        "was renamed to startup.budgetSeconds (got 30). Give it in seconds: 60 times as many.",
    ),
    "engine.legacy": (False, "was removed from this chart (got false). Remove it: nothing reads it."),
    "runtime.image": ("a/b", 'was renamed to image.repository (got "a/b"). Set image.repository: "a/b".'),
    "auth.token": (
        "hf_x",
        'was renamed to auth.huggingFace.token (got "…"). Set auth.huggingFace.token: "…".',
    ),
    "probes.readiness.period": (
        7,
        "was renamed to probes.readiness.periodSeconds (got 7). Set probes.readiness.periodSeconds: 7.",
    ),
}
NEW: Values = {
    **MODEL,
    "startup": {"budgetSeconds": 1800},
    "image": {"repository": "a/b"},
    "auth": {"huggingFace": {"token": "hf_x"}},
    "probes": {"readiness": {"periodSeconds": 7}},
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the chart with renamed values, as ``make generate`` writes it."""
    copied = Path(shutil.copytree(CHART, tmp_path_factory.mktemp("renamed") / CHART.name))
    renamed = yaml_of(PLANTED)
    (copied / "files" / "renamed.yaml").write_text(renamed, encoding="utf-8")
    source = (copied / "values.schema.yaml").read_text(encoding="utf-8")
    (copied / "values.schema.json").write_text(generated_schema(source, renamed), encoding="utf-8")
    return copied


@either_helm
@pytest.mark.parametrize("old", REFUSED)
def test_helm_names_the_new_value_when_an_old_one_is_set(chart: Path, old: str, helm: Helm) -> None:
    value, message = REFUSED[old]
    with pytest.raises(HelmFailed) as failed:
        render(merged(MODEL, nested(old.split("."), value)), chart=chart, helm=helm)
    assert "1 problem(s) in the values" in failed.value.stderr
    assert f"  - {old}: {message}\n" in failed.value.stderr


def test_helm_reports_all_old_values_at_once_and_hides_secrets(chart: Path) -> None:
    values: Values = dict(MODEL)
    for old, (value, _) in REFUSED.items():
        values = merged(values, nested(old.split("."), value))
    with pytest.raises(HelmFailed) as failed:
        render(values, chart=chart)
    assert f"{len(REFUSED)} problem(s) in the values" in failed.value.stderr
    assert "hf_x" not in failed.value.stderr


@pytest.mark.parametrize("old", REFUSED)
def test_vmn_names_the_new_value_when_an_old_one_is_set(chart: Path, tmp_path: Path, old: str) -> None:
    value, message = REFUSED[old]
    file = tmp_path / "values.yaml"
    file.write_text(yaml_of(merged(MODEL, nested(old.split("."), value))), encoding="utf-8")
    (found,) = values_problems(chart, file, helm=str(helm_program()))
    assert (found.key, found.ring, found.message) == (old, "rules", message)


def test_vmn_reports_old_values_together_with_schema_problems(chart: Path, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml_of({"model": {**MODEL["model"], "maxTokens": 1, "typo": 1}}), encoding="utf-8")
    found = {item.key: item for item in values_problems(chart, file, helm=str(helm_program()))}
    assert set(found) == {"model.maxTokens", "model.typo"}
    assert "maxTokens" not in found["model.typo"].fix, "an old key is not offered"


@either_helm
def test_new_keys_render(chart: Path, helm: Helm) -> None:
    assert render(NEW, chart=chart, helm=helm).one("LeaderWorkerSet")


@either_helm
def test_old_key_is_accepted_when_it_is_null(chart: Path, helm: Helm) -> None:
    assert render(merged(NEW, {"engine": {"legacy": None}}), chart=chart, helm=helm).one("LeaderWorkerSet")


def test_tables_of_values_leave_out_old_keys(chart: Path) -> None:
    assert not set(PLANTED) & keys(chart)


def test_generator_refuses_to_rename_a_key_of_this_version() -> None:
    source = (CHART / "values.schema.yaml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"group\.nodes is a value of this version"):
        generated_schema(source, "group.nodes: {to: group.size}")


def keys(chart: Path) -> set[str]:
    """Return the keys of a chart's values."""
    return {key for key, _ in schema_leaves(schema_of(chart))}


def lost(old: set[str], new: set[str], renamed: Mapping[str, object]) -> set[str]:
    """Return the old keys that are neither keys or maps of the new version, nor listed."""
    there = {key for key in old if any(name.startswith(f"{key}.") for name in new)}
    return {key for key in old - new - there if not any(key == name or key.startswith(f"{name}.") for name in renamed)}


def test_every_value_of_the_previous_chart_exists_or_is_listed() -> None:
    renamed = parse_values((CHART / "files" / "renamed.yaml").read_text(encoding="utf-8"))
    assert lost(keys(previous().chart), keys(CHART), renamed) == set(), "list them in files/renamed.yaml"


def test_every_listed_value_leads_to_an_existing_one() -> None:
    renamed = parse_values((CHART / "files" / "renamed.yaml").read_text(encoding="utf-8"))
    for old, entry in renamed.items():
        assert isinstance(entry, dict), old
        assert set(entry) <= {"to", "how", "secret"}, old
        assert "to" in entry or "how" in entry, f"{old}: say what to do"
        assert "to" not in entry or entry["to"] in keys(CHART), f"{old}: {entry.get('to')} is not a value"
        assert str(entry.get("how", ".")).endswith("."), f"{old}: a sentence"


def test_removed_value_is_found_when_it_is_not_listed() -> None:
    assert lost({"a.b", "a.c", "d.e", "g"}, {"a.b", "g.h"}, {"d": {"to": "f"}}) == {"a.c"}
