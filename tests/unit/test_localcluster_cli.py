"""The local cluster's commands: what they refuse, what they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.paths import CHECKOUT
from localcluster import __main__ as cli
from localcluster import cluster


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Run commands with state and programs of their own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "bin_dir", lambda *_: Path("/programs of mine"))
    return CliRunner()


def test_refuses_what_is_not_linux(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    result = runner.invoke(cli.main, ["up"])
    assert result.exit_code == 1
    assert "KUBECONFIG" in result.output


def test_refuses_who_is_not_root(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = runner.invoke(cli.main, ["down"])
    assert result.exit_code == 1
    assert "root" in result.output


def test_status_of_nothing(runner: CliRunner) -> None:
    assert runner.invoke(cli.main, ["status"]).output.startswith("down\n")
    result = runner.invoke(cli.main, ["status", "-o", "json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["up"] is False


def test_env_quotes_for_the_shell_and_names_only_a_kubeconfig_that_is_there(runner: CliRunner, tmp_path: Path) -> None:
    assert runner.invoke(cli.main, ["env"]).output == "export PATH='/programs of mine':\"$PATH\"\n"
    (tmp_path / "vllm-multinode").mkdir()
    (tmp_path / "vllm-multinode" / "kubeconfig").touch()
    assert "export KUBECONFIG=" in runner.invoke(cli.main, ["env"]).output


def test_up_passes_its_options_on(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[cluster.Options] = []
    monkeypatch.setattr(cluster, "up", given.append)
    assert runner.invoke(cli.main, ["up", "--simulated-nodes", "2", "--no-engine"]).exit_code == 0
    assert runner.invoke(cli.main, ["up"]).exit_code == 0
    assert runner.invoke(cli.main, ["up", "--real-nodes", "3"]).exit_code == 0
    assert given == [cluster.Options(2, False), cluster.Options(4, True, 2), cluster.Options(4, True, 3)]


@pytest.mark.parametrize(
    ("where", "hint"), [(CHECKOUT, 'eval "$(make -s env)"'), (Path("/"), f"make -s -C {CHECKOUT}")]
)
def test_hint_after_up_works_where_the_reader_is(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, where: Path, hint: str
) -> None:
    monkeypatch.setattr(cluster, "up", lambda _: None)
    monkeypatch.setenv("PWD", str(where))
    assert hint in runner.invoke(cli.main, ["up"]).output


def test_interrupt_is_told_in_words_and_ends_with_130(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "up", interrupt)
    result = runner.invoke(cli.main, ["up"])
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.output


def test_on_an_unknown_node_names_the_known_ones(runner: CliRunner, tmp_path: Path) -> None:
    for name in ("node-1", "node-2"):
        (tmp_path / "vllm-multinode" / "nodes" / name).mkdir(parents=True)
    for command in (["on", "node-9", "true"], ["lose", "node-9"]):
        result = runner.invoke(cli.main, command)
        assert result.exit_code == 1
        assert "node-1, node-2" in result.output


def test_the_node_that_all_need_is_not_lost(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "vllm-multinode" / "nodes" / "node-1").mkdir(parents=True)
    result = runner.invoke(cli.main, ["lose", "node-1"])
    assert result.exit_code == 1
    assert "lose another" in result.output


def test_simulated_nodes_are_printed_for_another_cluster(runner: CliRunner) -> None:
    nodes = json.loads(runner.invoke(cli.main, ["simulated-nodes", "2"]).output)["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["h100-1", "h100-2"]
    assert nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] == "8"


def test_programs_are_built_by_name_and_printed(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "program_of", lambda name: Path("/programs") / name)
    result = runner.invoke(cli.main, ["programs", "cosign", "registry"])
    assert (result.exit_code, result.stdout) == (0, "/programs/cosign\n/programs/registry\n")


def test_run_becomes_one_program_with_its_arguments(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(cli, "program_of", lambda name: Path(f"/programs/{name}"))
    monkeypatch.setattr("os.execv", lambda program, words: became.append([program, *words]))
    assert runner.invoke(cli.main, ["run", "actionlint", "-no-color", "--help", "a.yaml"]).exit_code == 0
    assert became == [["/programs/actionlint", "/programs/actionlint", "-no-color", "--help", "a.yaml"]]


def test_run_refuses_what_no_module_builds(runner: CliRunner) -> None:
    result = runner.invoke(cli.main, ["run", "nothing"])
    assert result.exit_code == 1
    assert "nothing: no such program" in result.output
