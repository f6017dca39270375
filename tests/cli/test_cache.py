"""``vmn cache pack`` as a user runs it, with a kubectl that runs commands on this machine; the engine tier has pods."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.fakecluster import FakeCluster
from unit.doctor_data.world import HERE, World
from vmn.cli import main

KUBECTL = """#!/bin/bash
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
Run = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the cache directory, which both pods of the stand-in share."""
    root = tmp_path / "v1-some--model"
    (root / "triton").mkdir(parents=True)
    (root / "triton/kernel.so").write_text("compiled")
    (root / "home").mkdir()
    (root / "home/token").write_text("secret")
    return root


def run(world: World, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run ``vmn cache pack`` on a release whose pods have a cache directory."""
    program = folder / "bin/kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL)
    program.chmod(0o755)
    env = {"MULTINODE_CACHE": root, "TRITON_CACHE_DIR": root / "triton", "CUDA": root / "cuda", "HOME": root / "home"}
    for pod in world.objects["pods"]:
        own = [{"name": name, "value": str(value)} for name, value in env.items()]
        pod["spec"]["containers"][0].update(image="vllm/vllm-openai:v1", env=own)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("MULTINODE_CACHE", str(root))
    file = folder / "kubeconfig"
    with FakeCluster(world.objects, {}).serving(file, HERE):
        monkeypatch.setenv("KUBECONFIG", str(file))
        return CliRunner().invoke(main, ["cache", "pack", *arguments])


@pytest.mark.parametrize("form", ["archive", "oci"])
def test_pack_writes_what_was_compiled_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    file = tmp_path / "bundle"
    done = run(World(), root, tmp_path, monkeypatch, "--write", str(file), "--format", form, "-o", "json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["key"], said["gpu"]) == ("v1-some--model", "none")
    assert [(pod["files"], pod["new"]) for pod in said["pods"]] == [(1, 1), (1, 0)]
    with tarfile.open(file) as archive:
        names = [member.name for member in archive if member.isfile()]
    expected = ["cache/triton/kernel.so", "bundle.json"]
    assert names == expected if form == "archive" else "index.json" in names
    assert not list(tmp_path.glob(".vmn-cache-*"))


def test_pack_of_a_group_that_does_not_serve_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.down("vllm-0-1")
    done = run(world, root, tmp_path, monkeypatch, "--write", str(tmp_path / "bundle"))
    assert done.exit_code == 1
    assert "No group of vllm serves" in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_pack_leaves_no_partial_file_when_a_pod_can_not_be_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmn.adapters.cache_bundle.TAR", "echo tar is not there >&2; exit 127")
    done = run(World(), root, tmp_path, monkeypatch, "--write", str(tmp_path / "bundle"))
    assert done.exit_code == 1
    assert "tar is not there" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "kubeconfig", root.name]


def test_pack_of_pods_of_another_chart_says_so(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmn.core.cache_bundle.ROOT", "ANOTHER")
    done = run(World(), root, tmp_path, monkeypatch)
    assert done.exit_code == 1
    assert "vllm-0 can't be packed: its pods have no variable ANOTHER" in done.stderr
