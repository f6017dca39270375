"""Releases of the local cluster as ``vmn doctor`` read them during a fault: objects and logs out of support bundles.

Fields that the doctor does not read are left out, and of each log all but its last lines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.paths import name_of
from vmn.adapters.signatures import load_signatures
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.release import Release
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.cluster.timestamps import seconds
from vmn.core.doctor.diagnose import diagnose
from vmn.core.doctor.finding import GroupHealth

RECORDED = sorted(Path(__file__).with_name("doctor_data").joinpath("recorded").glob("*.json"))


def release(content: dict[str, Any]) -> Release:
    """Return the release as it was read."""
    metadata = content["objects"]["leaderworkersets"][0]["metadata"]
    logs = [_log(name, lines) for name, lines in content["logs"].items()]
    snapshot = Snapshot((1, 36), content["objects"], {})
    now = seconds(content["now"])
    assert now is not None
    return Release(
        metadata["name"], metadata["namespace"], snapshot, now, logs, silent=frozenset(content.get("silent", ()))
    )


def _log(name: str, lines: list[str]) -> ContainerLog:
    pod, container = name.removesuffix(".previous").split(".")
    return ContainerLog(pod, container, "\n".join(lines), name.endswith(".previous"))


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_recorded_fault_has_its_verdict(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    found = diagnose(release(content), load_signatures())
    assert found.state is GroupHealth.FAILED, content["says"]
    assert (found.findings[0].id, found.findings[0].pod) == (content["verdict"], content["pod"]), content["says"]


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_recorded_pods_that_have_started_are_not_called_starting(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    found = diagnose(release(content), load_signatures())
    assert not any("has been starting" in group.line for group in found.groups)
