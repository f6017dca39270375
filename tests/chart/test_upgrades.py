"""The contract of UPGRADING.md: what an upgrade from the previous chart changes, and what it never changes."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.diff import changed_paths
from kit.paths import CHART, CHECKOUT, MAIN_PRESETS, OTHER_PRESETS, name_of
from kit.previous import Previous, previous
from kit.render import render
from kit.upgrades import Change, rows
from upgrade.table import CHANGES, values_text, with_the_same_values, with_todays_values, written

pytestmark = pytest.mark.slow

every_preset = pytest.mark.parametrize("file", [*MAIN_PRESETS, *OTHER_PRESETS], ids=name_of)
APPENDED = "\n# one line more\n"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of the chart that a test can change."""
    return Path(shutil.copytree(CHART, tmp_path / CHART.name))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the chart with another version."""
    chart = Path(shutil.copytree(CHART, tmp_path_factory.mktemp("newer") / CHART.name))
    edited(chart / "Chart.yaml", r"(?m)^version: .*$", "version: 99.0.0")
    return chart


def edited(file: Path, pattern: str, new: str) -> None:
    """Replace the first match of a pattern in a file, which must have one."""
    text, count = re.subn(pattern, new, file.read_text(encoding="utf-8"), count=1)
    assert count == 1, f"{file.name} has no {pattern}"
    file.write_text(text, encoding="utf-8")


def a_few() -> Previous:
    """Return the previous chart with two of its values files."""
    return replace(previous(), presets=previous().presets[:2])


@every_preset
def test_pod_templates_do_not_change_with_the_charts_version(file: Path, newer: Path) -> None:
    before, after = render(None, file), render(None, file, chart=newer)
    groups = [one.one("LeaderWorkerSet")["spec"] for one in (before, after)]
    assert groups[0] == groups[1]
    changed = {path for one in before for path in changed_paths(one, after.one(one["kind"], one["metadata"]["name"]))}
    assert changed == {"metadata.labels.helm.sh/chart"}


def test_pod_templates_change_with_their_scripts(copied: Path) -> None:
    with (copied / "files" / "engine" / "start.sh").open("a", encoding="utf-8") as script:
        script.write(APPENDED)
    before, after = render(None, MAIN_PRESETS[0]), render(None, MAIN_PRESETS[0], chart=copied)
    assert changed_paths(before.templates(), after.templates()) == [
        "leader.metadata.annotations.checksum/scripts",
        "worker.metadata.annotations.checksum/scripts",
    ]


def test_pod_templates_do_not_change_with_the_script_of_helm_test(copied: Path) -> None:
    with (copied / "files" / "test" / "request.sh").open("a", encoding="utf-8") as script:
        script.write(APPENDED)
    before, after = render(None, MAIN_PRESETS[0]), render(None, MAIN_PRESETS[0], chart=copied)
    assert before.one("LeaderWorkerSet") == after.one("LeaderWorkerSet")
    assert before.one("ConfigMap", "vllm-test") != after.one("ConfigMap", "vllm-test")


def test_previous_chart_is_complete() -> None:
    assert len(previous().commit) == 40
    assert list(render(None, previous().presets[0], chart=previous().chart))


def test_table_lists_exactly_the_fields_that_change() -> None:
    text = CHANGES.read_text(encoding="utf-8")
    assert "<!-- generated:upgrade -->" in text
    assert text == written(text, previous()), "run make upgrading, and say in CHANGELOG.md what changed and why"


def test_changelog_says_when_pods_restart() -> None:
    changed = {**with_the_same_values(previous())}
    restarts = sorted(name for name, found in changed.items() if any(one.restarts for one in found))
    newest = re.split(r"(?m)^## ", (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"))[1]
    assert not restarts or "Restarts pods" in newest, f"mark what changes the pods of {restarts}"


@pytest.mark.parametrize(
    ("file", "pattern", "new", "wanted"),
    [
        (
            "templates/engine/_pod.tpl",
            '"timeoutSeconds" 5',
            '"timeoutSeconds" 6',
            Change("LeaderWorkerSet", "pods: spec.containers[vllm].startupProbe.timeoutSeconds", True, "`5`", "`6`"),
        ),
        (
            "templates/engine/_arguments.tpl",
            '"revision" ',
            '"seed" 0 "revision" ',
            Change("LeaderWorkerSet", "pods: spec.containers[vllm].args.--seed", True, "-", "`0`"),
        ),
        (
            "templates/_helpers/_servers.tpl",
            '"http" [(]gt',
            '"api" (gt',
            Change("Service", "spec.ports[http]", False, '`{"name": "http", "port": 8080, "targetP…`', "-"),
        ),
        (
            "values.yaml",
            "maxSurge: 0",
            "maxSurge: 1",
            Change("LeaderWorkerSet", "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge", False, "`0`", "`1`"),
        ),
    ],
    ids=["probe", "argument", "service", "default"],
)
def test_change_is_found_when_it_is_not_listed(copied: Path, file: str, pattern: str, new: str, wanted: Change) -> None:
    edited(copied / file, pattern, new)
    of = a_few()
    text = written(CHANGES.read_text(encoding="utf-8"), of)
    assert written(text, of, copied) != text
    for found in with_the_same_values(of, copied).values():
        assert wanted in found


def test_listed_change_is_found_when_it_does_not_happen(copied: Path) -> None:
    edited(copied / "values.yaml", "maxSurge: 0", "maxSurge: 1")
    listed = written(CHANGES.read_text(encoding="utf-8"), a_few(), copied)
    assert "rollingUpdateConfiguration.maxSurge" in listed
    assert "rollingUpdateConfiguration.maxSurge" not in written(listed, a_few())
    assert "`rollout.maxSurge` (`0`, now `1`)" in listed


def test_new_values_and_changed_defaults_are_named(copied: Path) -> None:
    assert values_text(CHART, CHART) == "New values: none. Other defaults: none."
    edited(copied / "values.schema.json", '"rollout": {', '"fresh": {"type": "string"}, "rollout": {')
    edited(copied / "values.yaml", "maxSurge: 0", "maxSurge: 1")
    wanted = "New values: `fresh`. Other defaults: `rollout.maxSurge` (`0`, now `1`)."
    assert values_text(CHART, copied) == wanted


def test_rows_name_the_files_when_only_some_change() -> None:
    one = Change("Service", "spec.type", False, "`A`", "`B`")
    other = Change("Service", "spec.type", False, "`A`", "`C`")
    assert rows({"a": {one}, "b": {one}}) == [("Service", "`spec.type`", "all", "`A`", "`B`", "no")]
    assert rows({"a": {one}, "b": set()}) == [("Service", "`spec.type`", "a", "`A`", "`B`", "no")]
    assert rows({"a": {one}, "b": {other}}) == [("Service", "`spec.type`", "all", "differs", "differs", "no")]


def test_values_files_of_both_charts_are_compared() -> None:
    assert {file.stem for file in MAIN_PRESETS} <= set(with_todays_values(previous()))
