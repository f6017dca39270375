"""Releases as ``vmn doctor`` read them during a fault: objects and logs out of support bundles.

Fields that the doctor does not read are left out, and of each log all but its last lines. Those of ``h200-*`` are of
two pods on a GPU (``docs/gpu-runs.md``): of their logs, noise, repeated lines, stack frames of native code, and the
middle are left out, and long lines are cut.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu.twopods.verdicts import verdict
from kit.paths import name_of
from vmn.core.doctor.finding import GroupHealth

RECORDED = sorted(Path(__file__).with_name("doctor_data").joinpath("recorded").glob("*.json"))


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_recorded_fault_has_its_verdict(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    found = verdict(content)
    assert found.state is GroupHealth.FAILED, content["says"]
    assert (found.findings[0].id, found.findings[0].pod) == (content["verdict"], content["pod"]), content["says"]


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_recorded_pods_that_have_started_are_not_called_starting(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    found = verdict(content)
    assert not any("has been starting" in group.line for group in found.groups)
