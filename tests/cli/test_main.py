"""The command line as a whole."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from kit.paths import CHECKOUT
from vmn import __version__
from vmn.cli import main
from vmn.cli.options import Command


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


LOGS_ONLY = ["Startup logs"]
"""Headings of `vmn plan` that `vmn generate` shares and has no options for."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the path and the command of everything that a user can run."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*item, id=" ".join(item[0])) for item in commands(main)])
def test_command_has_a_short_help_and_an_example_that_parses(path: tuple[str, ...], command: click.Command) -> None:
    assert isinstance(command, Command)
    assert command.short_help
    assert len(command.short_help) < 66, "it does not fit on a line of `vmn --help`"
    program, *words = shlex.split(command.example)
    assert (program, *words[: len(path)]) == ("vmn", *path)
    arguments = [str(CHECKOUT / word) if word.startswith("values/") else word for word in words[len(path) :]]
    existing = [str(CHECKOUT / "ct.yaml") if word == "my-values.yaml" else word for word in arguments]
    with command.make_context(path[-1], existing):
        pass


def test_every_group_of_options_names_options_of_its_command() -> None:
    for _, command in commands(main):
        assert isinstance(command, Command)
        names = {parameter.name for parameter in command.params}
        assert [heading for heading, known in command.groups.items() if known and not known & names] in ([], LOGS_ONLY)
