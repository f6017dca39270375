"""The bootstrap: what it says when something is missing, and that it does nothing when all is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache directory of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_environment_is_made_once_and_then_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def call(command: list[str]) -> None:
        calls.append(command)
        bootstrap.environment_dir().mkdir(exist_ok=True)

    monkeypatch.setattr(bootstrap, "call", call)
    assert bootstrap.make_environment() == bootstrap.make_environment()
    assert len(calls) == 2, "one venv, one pip"
    assert "--require-hashes" in calls[1]


def test_half_made_environment_is_thrown_away(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = bootstrap.environment_dir() / "left"
    left.mkdir(parents=True)
    monkeypatch.setattr(bootstrap, "call", lambda command: bootstrap.environment_dir().mkdir(exist_ok=True))
    assert (bootstrap.make_environment() / "complete").is_file()
    assert not left.exists()


def test_failed_installation_counts_as_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str]) -> None:
        raise bootstrap.BootstrapError("pip failed")

    monkeypatch.setattr(bootstrap, "call", fail)
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap.make_environment()
    assert not (bootstrap.environment_dir() / "complete").exists()


def test_missing_ensurepip_names_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(bootstrap.BootstrapError, match=r"apt-get install python3\.\d+-venv"):
        bootstrap.require_venv()


def test_old_python_is_refused_when_there_is_no_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.BootstrapError, match=r"Python 3\.11 or newer is needed, this is 3\.9"):
        bootstrap.use_a_python_that_will_do()


def test_launcher_runs_this_checkouts_vmn(cache: Path) -> None:
    folder = bootstrap.make_launcher(Path(sys.prefix))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [folder / "vmn", "--version"], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("vmn, version")


def test_lock_names_no_host_and_has_a_hash_for_every_package() -> None:
    text = bootstrap.DEVELOPMENT.read_text(encoding="utf-8")
    assert "//" not in text
    packages = [block for block in text.replace("\\\n", " ").splitlines() if "==" in block and block[:1].isalpha()]
    assert packages
    assert [block.split("==")[0] for block in packages if "--hash=sha256:" not in block] == []
