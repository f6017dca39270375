"""The only snapshot: the objects of each values file, and what vLLM receives for each role and preset.

`pytest tests/chart/test_semantic_core.py --snapshot-update` rewrites it. Read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from kit.cases import valid_cases
from kit.paths import CI_VALUES, MAIN_PRESETS, name_of
from kit.render import render


def core(file: Path) -> dict[str, Any]:
    """Return sizes, arguments, names of environment variables, and resources."""
    manifests = render(None, file)
    spec = manifests.one("LeaderWorkerSet")["spec"]
    roles: dict[str, Any] = {}
    for role, template in manifests.templates().items():
        container = template["spec"]["containers"][0]
        roles[role] = {
            "argv": [*container.get("command", []), *container.get("args", [])],
            "env": sorted(one["name"] for one in container.get("env", [])),
            "resources": container["resources"],
        }
    return {"replicas": spec["replicas"], "size": spec["leaderWorkerTemplate"]["size"], **roles}


@pytest.mark.parametrize("file", MAIN_PRESETS, ids=name_of)
def test_semantic_core_is_unchanged(file: Path, snapshot: SnapshotAssertion) -> None:
    assert core(file) == snapshot


@pytest.mark.parametrize("file", [*MAIN_PRESETS, *CI_VALUES, *valid_cases()], ids=name_of)
def test_inventory_is_unchanged(file: Path, snapshot: SnapshotAssertion) -> None:
    assert sorted(f"{kind}/{name}" for kind, name in render(None, file).inventory()) == snapshot
