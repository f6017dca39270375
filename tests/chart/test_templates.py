"""Rules for the chart's templates and scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kit.paths import CHART, name_of
from kit.render import HelmFailed, helm_program, render

TEMPLATES = sorted(file for file in (CHART / "templates").rglob("*") if file.is_file())
HELPERS = [file for file in TEMPLATES if file.suffix == ".tpl"]
SCRIPTS = sorted((CHART / "files").glob("**/*.sh"))
LOOK_AGAIN = 250
"""Number of lines at which a file probably has more than one subject."""
RULES = "vllm-multinode.rules."
"""Prefix of the defines with rules."""
DEFINE = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
HEADED = re.compile(
    r'\{\{-?\s*/\*(?P<header>(?:(?!\*/).)*)\*/\s*-?\}\}\s*\{\{-?\s*define\s+"(?P<name>[^"]+)"', re.DOTALL
)


def defines() -> dict[str, Path]:
    """Return every define and its file."""
    return {name: file for file in HELPERS for name in DEFINE.findall(file.read_text(encoding="utf-8"))}


def test_package_leaves_out_what_python_compiled(tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "vllm-multinode")
    for folder in ("files/restart", "files/bandwidth"):
        compiled = chart / folder / "__pycache__"
        compiled.mkdir(exist_ok=True)
        compiled.joinpath("state.cpython-311.pyc").write_bytes(b"compiled")
    subprocess.run([helm_program(), "package", chart, "--version=9.9.9", "--destination", tmp_path], check=True)
    with tarfile.open(tmp_path / "vllm-multinode-9.9.9.tgz") as archive:
        names = archive.getnames()
    assert "vllm-multinode/files/restart/state.py" in names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("file", [*TEMPLATES, *SCRIPTS], ids=name_of)
def test_file_has_one_subject(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) < LOOK_AGAIN, "look again: is it one subject?"


def test_every_define_has_the_charts_prefix() -> None:
    assert [name for name in defines() if not name.startswith("vllm-multinode.")] == []


@pytest.mark.parametrize("file", HELPERS, ids=name_of)
def test_every_define_has_a_header_with_usage_and_result(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    headers = {match["name"]: match["header"] for match in HEADED.finditer(text)}
    bad = [
        name
        for name in DEFINE.findall(text)
        if not re.search(rf'\S.*\nUsage: .*"{re.escape(name)}".*\nReturns: ', headers.get(name, ""), re.DOTALL)
    ]
    assert bad == [], "wanted a comment with what it is, `Usage:`, and `Returns:`"


def test_every_define_is_used() -> None:
    code = "".join(re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL) for file in TEMPLATES)
    unused = {name for name in defines() if not re.search(rf'include\s+"{re.escape(name)}"', code)}
    assert unused == {f"{RULES}{section}" for section in sections()}


def test_every_set_of_rules_is_checked() -> None:
    assert {f"{RULES}{section}" for section in sections()} == {name for name in defines() if name.startswith(RULES)}


def sections() -> list[str]:
    """Return the sections whose rules validate.yaml checks."""
    text = (CHART / "templates" / "validation" / "first" / "validate.yaml").read_text(encoding="utf-8")
    listed = re.search(r"range \$section := list (.*?) -}}", text)
    return re.findall(r'"([^"]+)"', listed[1]) if listed else []


def test_yaml_is_parsed_only_where_the_result_is_checked() -> None:
    code = {file: re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL) for file in TEMPLATES}
    assert [file.name for file, text in code.items() if "fromYaml" in text] == ["_yaml.tpl"]


def test_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / CHART.name))
    (chart / "files" / "fabrics.yaml").write_text("tcp: [", encoding="utf-8")
    with pytest.raises(HelmFailed) as failed:
        render({"model": {"name": "a/b"}}, chart=chart)
    assert "files/fabrics.yaml is not valid YAML: " in failed.value.stderr


def test_sentences_of_problems_are_built_in_one_place() -> None:
    found = [file.name for file in TEMPLATES if "(got " in file.read_text(encoding="utf-8")]
    assert found == ["validate.yaml"]


def test_fabric_is_computed_at_most_once_per_template() -> None:
    for file in TEMPLATES:
        text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert text.count('include "vllm-multinode.fabric" ') <= 1, file.name


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_script_passes_shellcheck(script: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "--external-sources", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
