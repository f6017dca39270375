"""``vmn validate`` as a user runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.paths import CHART
from kit.render import helm_program
from kit.smallchart import write_chart
from vmn import __version__
from vmn.cli import main
from vmn.core.values.pairing import pairing_problem

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that writes a values file and validates it."""
    chart = write_chart(tmp_path / "chart")
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    monkeypatch.chdir(tmp_path)

    def call(text: str, *options: str) -> Result:
        Path("my.yaml").write_text(text)
        return CliRunner().invoke(main, ["validate", "my.yaml", "--chart", str(chart), *options])

    return call


def test_validate_ends_with_0_when_all_is_well(run: Run) -> None:
    result = run("tensor: 4\n")
    assert (result.exit_code, result.stdout) == (0, "no problems in 1 file\n")


def test_validate_prints_file_key_and_message_when_the_schema_refuses(run: Run) -> None:
    result = run("tensor: x\nengine: {trsut: true}\n")
    assert result.exit_code == 1
    assert "my.yaml::$.engine.trsut  unknown key. Did you mean trust?" in result.stdout
    assert 'my.yaml::$.tensor  must be a whole number, not text (got "x").' in result.stdout
    assert result.stdout.endswith("2 problems in 1 file\n")


def test_validate_prints_every_rule_when_the_chart_refuses(run: Run) -> None:
    result = run("tensor: 3\nname: bad\n")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "my.yaml::$.tensor  does not divide 4 GPUs (got 3). Use 1, 2 or 4.",
        'my.yaml::$.name  is not a model (got "bad"). Set the model\'s name.',
        "2 problems in 1 file",
    ]


def test_validate_reports_both_rings_at_once_and_no_key_twice(run: Run) -> None:
    result = run("tensor: 3\ntypo: 1\n", "-o", "json")
    assert [(item["key"], item["ring"]) for item in json.loads(result.stdout)] == [
        ("typo", "schema"),
        ("tensor", "rules"),
    ]


def test_validate_prints_every_field_when_json_is_asked_for(run: Run) -> None:
    (item,) = json.loads(run("tensor: 3\n", "--output", "json").stdout)
    assert item == {
        "file": "my.yaml",
        "key": "tensor",
        "value": "3",
        "reason": "does not divide 4 GPUs",
        "fix": "Use 1, 2 or 4.",
        "ring": "rules",
    }


def test_validate_refuses_a_key_given_twice(run: Run) -> None:
    result = run("tensor: 1\ntensor: 2\n")
    assert result.exit_code == 1
    assert "my.yaml::$.tensor  is given twice, in lines 1 and 2. Keep one of the two." in result.stdout


def test_validate_ends_with_2_when_there_is_no_such_file(run: Run) -> None:
    result = CliRunner().invoke(main, ["validate", "none.yaml"])
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr


def test_validate_ends_with_3_and_says_how_to_get_helm_when_it_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = run("tensor: 1\n")
    assert result.exit_code == 3
    assert "helm is not on PATH" in result.stderr
    assert "make -s env" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "variables"),
    [((), {}), (("-o", "json"), {}), (("--output", "json"), {}), ((), {"VMN_VALIDATE_OUTPUT": "json"})],
    ids=["default", "short", "long", "environment"],
)
def test_validate_takes_the_output_option_in_every_form(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    wanted = "[]\n" if options or variables else "no problems in 1 file\n"
    assert run("tensor: 1\n", *options).stdout == wanted


def test_validate_checks_files_together_as_helm_merges_them(run: Run) -> None:
    Path("base.yaml").write_text("tensor: 3\nengine: {maxLength: 8}\n")
    assert run("gpus: 6\nengine: {maxLength: null}\n").exit_code == 0
    chart = str(Path("chart").resolve())
    alone = CliRunner().invoke(main, ["validate", "base.yaml", "--chart", chart])
    assert "base.yaml::$.tensor  does not divide 4 GPUs (got 3)" in alone.stdout
    together = CliRunner().invoke(main, ["validate", "-f", "base.yaml", "-f", "my.yaml", "--chart", chart])
    assert (together.exit_code, together.stdout) == (0, "no problems in 2 files\n")
    swapped = CliRunner().invoke(main, ["validate", "-f", "my.yaml", "-f", "base.yaml", "--chart", chart])
    assert swapped.exit_code == 0


def test_validate_names_the_file_that_sets_the_key(run: Run) -> None:
    Path("base.yaml").write_text("tensor: 3\ntypo: 1\n")
    run("gpus: 5\nname: bad\n")
    chart = str(Path("chart").resolve())
    result = CliRunner().invoke(main, ["validate", "-f", "base.yaml", "-f", "my.yaml", "--chart", chart])
    assert [line.partition("::")[0] for line in result.stdout.splitlines()[:-1]] == [
        "base.yaml",
        "base.yaml",
        "my.yaml",
    ]
    assert result.stdout.endswith("3 problems in 2 files\n")


def test_validate_ends_with_2_when_no_file_is_given() -> None:
    result = CliRunner().invoke(main, ["validate"])
    assert result.exit_code == 2
    assert "Give a values file" in result.stderr


@pytest.mark.parametrize("version", ["0.3.0", "1.2.0", "0.1.9"])
def test_validate_refuses_a_chart_of_another_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    chart = shutil.copytree(CHART, tmp_path / "chart")
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace(f"version: {__version__}", f"version: {version}"))
    (tmp_path / "my.yaml").write_text("model: {name: a/b}\n")
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "my.yaml"), "--chart", str(chart)])
    assert result.exit_code == 1
    assert f"chart {version} is not of the series of vmn {__version__}" in result.stdout
    assert f"pip install 'vllm-multinode=={'.'.join(version.split('.')[:2])}.*'" in result.stdout


def test_validate_takes_a_patch_of_the_same_series_and_a_fork() -> None:
    own, (major, minor) = __version__, __version__.split(".")[:2]
    assert pairing_problem("vllm-multinode", f"{major}.{minor}.99", own) is None
    assert pairing_problem("our-own-chart", "9.9.9", own) is None
