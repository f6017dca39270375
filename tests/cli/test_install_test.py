"""``vmn install-test`` as a user runs it, with stand-ins for the programs that it calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.smallchart import write_chart
from vmn.cli import main

Run = Callable[..., Result]
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0") $*" in
  *jsonpath*) echo "1 1" ;;
  {failing}) echo "Error: {failing} failed" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command on a small chart with one preset."""
    checkout = tmp_path / "checkout"
    chart = write_chart(checkout / "charts" / "small")
    (checkout / "values").mkdir()
    (checkout / "values" / "one.yaml").write_text("tensor: 1\n")
    monkeypatch.chdir(checkout)

    def call(*options: str, failing: str = "none") -> Result:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("helm", "kubectl", "ct", "yamllint", "yamale"):
            (programs / name).write_text(STAND_IN.format(log=tmp_path / "log", failing=failing))
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        return CliRunner().invoke(main, ["install-test", "--chart", str(chart), *options])

    return call


def test_install_test_prints_the_exact_commands_and_runs_none_when_dry(run: Run, tmp_path: Path) -> None:
    result = run("--dry-run", "--wait", "60")
    lines = result.stdout.replace(str(tmp_path.resolve()), "<TMP>").replace(str(tmp_path), "<TMP>").splitlines()
    chart = "<TMP>/checkout/charts/small"
    preset = "--values <TMP>/checkout/values/one.yaml"
    assert lines[:4] == [
        "# ct lint",
        f"ct lint --charts {chart} --validate-yaml=false --validate-chart-schema=false",
        "# ct install",
        f"ct install --charts {chart} --helm-extra-args=--timeout=60s",
    ]
    assert (
        f"helm install install-test-1 {chart} --namespace vmn-install-test --create-namespace {preset} "
        "--wait --timeout=60s" in lines
    )
    assert lines[-2].endswith("  # after a failure")
    assert lines[-1] == "kubectl delete namespace vmn-install-test --ignore-not-found --timeout=60s  # always"
    assert not (tmp_path / "log").exists()


def test_install_test_ends_with_0_when_all_is_well(run: Run, tmp_path: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert (tmp_path / "log").read_text().count("helm uninstall") == 1, "what passed has nothing to clean up"
    assert result.stdout.splitlines()[-1] == "all 3 passed"
    assert "$ helm install install-test-1" in result.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_install_test_has_a_release_for_each_preset_and_shows_their_lines_together(run: Run, jobs: int) -> None:
    Path("values/two.yaml").write_text("tensor: 2\n")
    result = run("--jobs", str(jobs))
    assert result.exit_code == 0, result.output
    assert [line.partition(" (")[0] for line in result.stdout.splitlines()] == [
        "passed  ct lint",
        "passed  ct install",
        "passed  preset one.yaml",
        "passed  preset two.yaml",
        "all 4 passed",
    ]
    items = result.stderr.split("==> ")[1:]
    assert sorted(item.splitlines()[0] for item in items) == [
        "ct install",
        "ct lint",
        "preset one.yaml",
        "preset two.yaml",
    ]
    for number, name in enumerate(("one", "two"), 1):
        (item,) = [item for item in items if item.startswith(f"preset {name}.yaml")]
        assert f"helm install install-test-{number} " in item
        assert f"<== preset {name}.yaml: passed" in item


@pytest.mark.parametrize("jobs", [0, 33])
def test_install_test_refuses_a_number_of_jobs_that_makes_no_sense(run: Run, jobs: int) -> None:
    result = run("--jobs", str(jobs))
    assert result.exit_code == 2
    assert f"{jobs} is not in the range 1<=x<=32" in result.stderr


def test_install_test_explains_cleans_up_and_continues_when_an_installation_fails(run: Run, tmp_path: Path) -> None:
    result = run(failing='"helm install"*')
    log = (tmp_path / "log").read_text().splitlines()
    assert result.exit_code == 1
    assert "FAILED  preset one.yaml" in result.stdout
    assert [line for line in log if line.startswith("kubectl get events")]
    assert log[-3].startswith("helm uninstall")
    assert log[-2].startswith("kubectl wait --for=delete")
    assert log[-1].startswith("kubectl delete namespace")


def test_install_test_reports_a_namespace_that_remains(run: Run) -> None:
    result = run(failing='"kubectl delete"*')
    assert result.exit_code == 1
    assert "FAILED  clean-up (0 s): kubectl delete: Error" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 of 4 failed"


def test_install_test_ends_with_3_when_no_cluster_answers(run: Run) -> None:
    result = run(failing='"kubectl get customresourcedefinitions"*')
    assert result.exit_code == 3
    assert "make cluster-up" in result.stderr


def test_install_test_ends_with_3_when_a_program_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--dry-run")
    monkeypatch.setenv("PATH", "/nonexistent")
    result = CliRunner().invoke(main, ["install-test"])
    assert result.exit_code == 3
    assert "helm, kubectl, ct, yamllint, yamale are not on PATH" in result.stderr
