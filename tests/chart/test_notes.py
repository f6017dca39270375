"""NOTES, which ``helm install`` prints at its end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.paths import CHART
from kit.render import helm_program

MODEL = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
GIB = {"profile": "gib", "networks": ["rdma-0"]}


def notes(folder: Path, values: Mapping[str, Any]) -> str:
    """Return NOTES from an installation without a cluster."""
    file = folder / "values.yaml"
    file.write_text(json.dumps({**MODEL, **values}), encoding="utf-8")
    command = [str(helm_program()), "install", "vllm", str(CHART), "--dry-run=client", "--values", str(file)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("fabric", "said"),
    [
        (
            GIB,
            [
                "fabric.profile gib has these effects on security:",
                "- Containers run as root with IPC_LOCK",
                "- Pods mount directories",
            ],
        ),
        ({"profile": "mnnvl"}, ["fabric.profile mnnvl has these effects", "share memory over NVLink"]),
        ({"hostNetwork": True, "interface": "auto"}, ["WARNING: fabric.hostNetwork is true"]),
    ],
)
def test_notes_list_the_effects_of_a_fabric_on_security(
    tmp_path: Path, fabric: Mapping[str, Any], said: list[str]
) -> None:
    text = notes(tmp_path, {"fabric": fabric})
    assert [words for words in said if words not in text] == []


def test_notes_have_no_security_effects_when_the_fabric_is_tcp(tmp_path: Path) -> None:
    text = notes(tmp_path, {})
    assert "helm test" in text
    assert "effects on security" not in text
    assert "WARNING" not in text
