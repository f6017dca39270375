"""The command line as a whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from kit.paths import CHECKOUT
from vmn import __version__
from vmn.cli import main


def test_version_is_printed() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"vmn, version {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["validate", "-h"], ["install-test", "--help"]])
def test_help_is_printed_when_asked_for(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_an_unknown_command_ends_with_2() -> None:
    assert CliRunner().invoke(main, ["frobnicate"]).exit_code == 2


def test_help_imports_nothing_slow() -> None:
    code = "import sys; from vmn.cli import main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    env = os.environ | {"PYTHONPATH": str(CHECKOUT / "tools")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30, check=True)
    assert not {"jsonschema", "yaml", "subprocess"} & set(done.stdout.split())


def test_help_starts_within_a_third_of_a_second() -> None:
    env = os.environ | {"PYTHONPATH": str(CHECKOUT / "tools")}
    times = []
    for _ in range(3):  # the processor's time, the best of three: other tests run beside this one
        start = os.times()
        subprocess.run([sys.executable, "-m", "vmn", "--help"], env=env, capture_output=True, timeout=30, check=True)
        end = os.times()
        times.append(end.children_user + end.children_system - start.children_user - start.children_system)
    assert min(times) < 0.3, times
