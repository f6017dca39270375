"""What of the engine is put on the local cluster's nodes, and when."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from localcluster import cluster
from localcluster.engine import Engine, rootfs
from localcluster.node import Node, numbered

ENGINE = Engine(Path("image.tar"), "vllm:1", Path("packages/1"), "/opt/vllm", Path("model"))


def test_image_has_the_programs_of_both_backends() -> None:
    files = {entry.name: (entry.mode, data) for entry, data in islice(rootfs._additions(), 3)}
    assert list(files) == ["usr/local/bin/vllm", "usr/local/bin/ray", "usr/local/bin/ray-cluster"]
    assert {mode for mode, _ in files.values()} == {0o755}
    assert files["usr/local/bin/ray-cluster"][1] == rootfs.RAY_CLUSTER.read_bytes()


def test_engine_is_put_on_running_nodes_when_it_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put: list[tuple[Node, Engine]] = []
    monkeypatch.setattr(cluster, "state_dir", lambda: tmp_path)
    monkeypatch.setattr(cluster, "present", lambda: numbered(3))
    monkeypatch.setattr(cluster, "_put_engine", lambda real, engine: put.append((real, engine)))
    newer = replace(ENGINE, packages_dir=Path("packages/2"))
    for engine in (ENGINE, ENGINE, newer, newer):
        cluster._bring_engine(engine)
    assert sorted(real.index for real, _ in put) == [1, 1, 2, 2, 3, 3]
    assert [engine for _, engine in put[::3]] == [ENGINE, newer]
