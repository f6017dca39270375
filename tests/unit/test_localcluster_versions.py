"""Other versions of the cluster's programs: how they are pinned, chosen by name, and kept apart."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.paths import CHECKOUT
from localcluster import __main__ as cli
from localcluster import cluster, programs, versions
from localcluster.host import HostError, env_hint

OTHERS = sorted(file.relative_to(programs.MODULES) for file in programs.MODULES.glob("*/*.mod") if file.stem != "go")
"""Files with pins of other versions, each in its module's folder."""
NEWER = ("kubernetes", "helm", "kueue")
"""Projects of which the newest versions are others than the usual ones."""


def choose(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Choose versions by name."""
    monkeypatch.setattr(versions, "CHOSEN", versions.named(name))


def requirements(file: Path) -> dict[str, str]:
    """Return what a file with pins requires: Go module -> version, after replacements."""
    text = file.read_text(encoding="utf-8")
    required = re.findall(r"^(?:require )?\t?(\S+) (v\S+)", text, re.MULTILINE)
    replaced = re.findall(r"^\t(\S+) => \S+ (v\S+)", text, re.MULTILINE)
    return dict(required) | {path: version for path, version in replaced if path in dict(required)}


def tools(file: Path) -> list[str]:
    """Return the main packages that a file with pins has built."""
    text = file.read_text(encoding="utf-8")
    block = re.search(r"^tool (\(\n.*?^\)|\S+)", text, re.MULTILINE | re.DOTALL)
    return sorted(block.group(1).strip("()").split()) if block else []


@pytest.mark.parametrize("pins", OTHERS, ids=str)
def test_pins_belong_to_a_set_and_build_the_same_programs(pins: Path) -> None:
    file = programs.MODULES / pins
    assert versions.named(pins.stem).pins(file.parent) == file
    assert tools(file) == tools(file.parent / "go.mod")


def without_checksum(file: Path) -> list[str]:
    """Return the Go modules that a file with pins requires in versions of which the file beside it has no checksum."""
    sums = file.with_suffix(".sum").read_text(encoding="utf-8")
    known = {tuple(line.split()[:2]) for line in sums.splitlines()}
    return [path for path, version in requirements(file).items() if (path, f"{version}/go.mod") not in known]


@pytest.mark.parametrize("pins", OTHERS, ids=str)
def test_all_that_is_pinned_has_a_checksum(pins: Path) -> None:
    file = programs.MODULES / pins
    assert len(requirements(file)) > 100
    assert without_checksum(file) == []


def test_pin_without_a_checksum_is_found(tmp_path: Path) -> None:
    newest = programs.MODULES / "kubernetes" / "newest.mod"
    pins = re.sub(r"(k8s\.io/api => k8s\.io/api) v\S+", r"\1 v9.9.9", newest.read_text(encoding="utf-8"))
    (tmp_path / "newest.mod").write_text(pins, encoding="utf-8")
    shutil.copy(newest.with_suffix(".sum"), tmp_path)
    assert without_checksum(tmp_path / "newest.mod") == ["k8s.io/api"]


@pytest.mark.parametrize("project", NEWER)
def test_newest_versions_are_newer_and_have_the_checksum_of_their_source(
    project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = programs.version_of(project)
    choose(monkeypatch, "newest")
    newest = programs.version_of(project)
    assert number(newest) > number(usual)
    module, path = programs._SOURCES[project]
    sums = versions.CHOSEN.sums(programs.MODULES / module).read_text(encoding="utf-8")
    assert f"\n{path} {newest} h1:" in sums


def number(version: str) -> tuple[int, ...]:
    """Return a version as numbers."""
    return tuple(map(int, version.removeprefix("v").split(".")))


@pytest.mark.parametrize("name", [name for name in versions.SETS if name])
def test_set_differs_from_the_usual_versions(name: str) -> None:
    own = versions.named(name)
    assert own.instead or any(pins.stem == name for pins in OTHERS)
    assert {*own.instead, *own.instead.values()} <= set(programs.PROGRAMS)


@pytest.mark.parametrize("name", ["", "newest"])
def test_guide_says_with_which_versions_the_tier_was_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, name)
    command = f"`make test-cluster{versions.CHOSEN.make_option}`"
    page = (CHECKOUT / "docs" / "clusters.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {command} |")]
    assert row.split(" | ")[1:4] == [programs.version_of(project).removeprefix("v") for project in NEWER]
    assert f"Helm {programs.version_of('helm3').removeprefix('v')}" in page


def test_only_modules_with_other_pins_are_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stamped = {"helm3"}  # with the version of Kubernetes, for which it renders
    modules = sorted({module for module, _ in programs.PROGRAMS.values()} - stamped)
    usual = {module: programs.module_key(module) for module in modules}
    choose(monkeypatch, "newest")
    changed = {module for module in modules if programs.module_key(module) != usual[module]}
    assert changed == {str(pins.parent) for pins in OTHERS}
    choose(monkeypatch, "helm3")
    assert {module: programs.module_key(module) for module in modules} == usual


def test_go_reads_the_chosen_pins_and_no_set_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {}
    for name, module in product(("", "newest"), ("kubernetes", "ct")):
        choose(monkeypatch, name)
        flags[name, module] = versions.CHOSEN.flags(programs.MODULES / module)
    assert flags.pop(("newest", "kubernetes")) == "-mod=readonly -modfile=newest.mod"
    assert set(flags.values()) == {"-mod=readonly"}


def test_helm_3_takes_the_place_of_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for module in (*programs.CLUSTER, "helm3"):
        folder = programs._folder(module)
        folder.mkdir(parents=True)
        for name in programs._names(module):
            (folder / name).touch()
    assert (programs.bin_dir() / "helm").resolve().parent == programs._folder("platform")
    assert not (programs.bin_dir() / "helm3").exists()
    choose(monkeypatch, "helm3")
    three = programs._folder("helm3") / "helm3"
    assert (programs.bin_dir() / "helm").resolve() == three
    assert (programs.bin_dir() / "kubectl").exists()
    assert programs.program("helm") == three


def test_cluster_waits_for_what_takes_a_programs_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    choose(monkeypatch, "helm3")
    assert [task.name for task in programs.tasks(["ct"])] == [*programs.CLUSTER, "helm3", "ct"]


def test_unknown_versions_are_refused_in_words() -> None:
    env = {**os.environ, versions.VARIABLE: "nothing", "PYTHONPATH": str(CHECKOUT / "tools")}
    command = [sys.executable, "-m", "localcluster", "status"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "LOCALCLUSTER_VERSIONS=nothing: no such versions; there are newest, helm3\n"


def test_hint_chooses_the_same_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", str(CHECKOUT))
    assert env_hint() == 'eval "$(make -s env)"'
    choose(monkeypatch, "newest")
    assert env_hint() == 'eval "$(make -s env VERSIONS=newest)"'


@pytest.mark.parametrize(
    ("there", "chosen", "words"),
    [
        ("newest", "", "the cluster has the versions newest, and this command asks for the usual versions."),
        (None, "newest", "the cluster has the usual versions, and this command asks for the versions newest."),
    ],
)
def test_cluster_of_other_versions_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None, chosen: str, words: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cluster, "require_linux_root", lambda: None)
    monkeypatch.setattr(cluster, "require_packages", lambda: pytest.fail("the cluster is not left alone"))
    folder = tmp_path / "vllm-multinode"
    folder.mkdir()
    made = {"simulated_nodes": 4, **({} if there is None else {"versions": there})}
    (folder / "cluster.json").write_text(json.dumps(made), encoding="utf-8")
    choose(monkeypatch, chosen)
    result = CliRunner().invoke(cli.main, ["up"])
    assert result.exit_code == 1
    assert words in result.output
    assert f'or set LOCALCLUSTER_VERSIONS="{there or ""}".' in result.output
    choose(monkeypatch, there or "")
    cluster._refuse_other_versions()


def test_project_that_the_chosen_pins_do_not_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kueue").mkdir()
    (tmp_path / "kueue" / "go.mod").write_text("require sigs.k8s.io/kueue v0.17.0\n", encoding="utf-8")
    (tmp_path / "kueue" / "newest.mod").write_text("module programs/kueue\n", encoding="utf-8")
    monkeypatch.setattr(programs, "MODULES", tmp_path)
    assert programs.version_of("kueue") == "v0.17.0"
    choose(monkeypatch, "newest")
    with pytest.raises(HostError, match=r"newest\.mod requires no sigs\.k8s\.io/kueue"):
        programs.version_of("kueue")
