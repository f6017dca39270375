"""vmn as its wheel and its source archive install it: into an environment with nothing else, away from the checkout."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from kit.cluster import run
from kit.paths import CHECKOUT
from kit.published import chart_version
from kit.render import helm_program
from publishing.python import bill_of_materials, distributions, installed
from vmn.adapters.programs import Done

pytestmark = pytest.mark.slow
LIMIT = 60
"""Seconds; a command of vmn takes about two."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files by their kinds, ``.whl`` and ``.gz``."""
    return {file.suffix: file for file in distributions(CHECKOUT, tmp_path_factory.mktemp("python"))}


@pytest.mark.parametrize("suffix", [".whl", ".gz"])
def test_installation_finds_its_own_chart(built: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    python = installed(built[suffix], tmp_path / "venv")
    away = tmp_path / "elsewhere"
    away.mkdir()
    (away / "mine.yaml").write_text("model: {name: deepseek-ai/DeepSeek-R1}\ngroup: {nodes: 2, gpusPerNode: 8}\n")

    def vmn(*arguments: str, check: bool = True) -> Done:
        clean = ["env", "-i", f"PATH={python.parent}:{helm_program().parent}:{os.defpath}", f"HOME={tmp_path}"]
        return run(*clean, "sh", "-c", 'cd "$0" && exec vmn "$@"', str(away), *arguments, limit=LIMIT, check=check)

    assert vmn("--version").stdout.split()[-1] == chart_version()
    assert vmn("validate", "-f", "mine.yaml").stdout == "no problems in 1 file\n"
    (away / "wrong.yaml").write_text("group: {nodse: 2}\n")
    assert "Did you mean nodes?" in vmn("validate", "wrong.yaml", check=False).stdout
    assert "DeepSeek-R1" in vmn("generate", "deepseek-ai/DeepSeek-R1", "--gpu=h100", "--nodes=2").stdout
    check_bill(bill_of_materials(python, CHECKOUT / "pyproject.toml"))


def check_bill(text: str) -> None:
    """Check that a bill of materials is valid, and has what an installation brings and nothing else."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    names = {component["name"].lower() for component in bill["components"]}
    assert {"click", "jsonschema", "kubernetes", "pyyaml"} <= names
    assert not {"pip", "pytest", "ruff"} & names
    assert bill["metadata"]["component"]["name"] == "vllm-multinode"


def test_files_have_the_chart_and_nothing_of_the_tests(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel, tarfile.open(built[".gz"]) as source:
        inside = wheel.namelist()
        archived = [name.partition("/")[2] for name in source.getnames()]
    assert "vmn/chart/Chart.yaml" in inside
    assert "charts/vllm-multinode/Chart.yaml" in archived
    for names in (inside, archived):
        assert not [name for name in names if name.startswith(("tests/", "tools/localcluster", "localcluster"))]
    assert len(inside) < len(archived) + 10
