"""What is said before the first download, and what is refused."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from localcluster import needs
from localcluster.host import HostError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have empty caches, a large disk and enough memory."""
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, 10**12))
    monkeypatch.setattr(needs, "available_memory", lambda: 16e9)


def test_first_run_says_how_much_it_fetches(capfd: pytest.CaptureFixture[str]) -> None:
    needs.announce()
    said = capfd.readouterr().err
    assert said.startswith("First run: fetches ")
    assert "vLLM's CPU build and its packages: " in said
    assert "only tests" not in said
    needs.announce(tests=True)
    assert "programs that only tests use" in capfd.readouterr().err


def test_nothing_is_said_when_all_is_there(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(needs, "missing", lambda **_: [])
    needs.announce()
    assert capfd.readouterr().err == ""


def test_small_disk_is_refused_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(HostError, match=r"1\.0 GB of disk are free, and \d+\.\d GB are needed.*XDG_CACHE_HOME"):
        needs.announce()


def test_small_memory_is_refused_but_not_beside_a_cluster_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "available_memory", lambda: 3e9)
    with pytest.raises(HostError, match=r"3\.0 GB of memory are free, and 6 GB are needed"):
        needs.announce()
    (tmp_path / "vllm-multinode").mkdir()
    needs.announce()


def test_memory_is_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 0 < needs.available_memory() < 1e14
