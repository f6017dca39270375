"""What commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

FINDINGS, MISSING = 1, 3
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

chart_option = click.option(
    "--chart",
    envvar="VMN_CHART",
    show_envvar=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The chart's folder.  [default: the chart that came with this vmn]",
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the result."
)


def cluster_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say which cluster and namespace, as kubectl has them."""
    command = click.option("--context", help="As for kubectl.")(command)
    command = click.option("--kubeconfig", help="As for kubectl.")(command)
    return click.option("-n", "--namespace", help="Where the release is.  [default: the context's]")(command)


def note(message: str) -> None:
    """Print a note, which is not part of the result."""
    click.echo(message, err=True)


def ends_with_status(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what is missing into exit status 3 and what can't be read into 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from vmn.adapters.programs import MissingError

        try:
            return command(*args, **kwargs)
        except MissingError as error:
            _stop(f"vmn: {error}", MISSING)
        except OSError as error:
            raise click.UsageError(f"{error.filename}: {error.strerror}") from error

    return wrapped


def _stop(message: str, code: int) -> NoReturn:
    note(message)
    sys.exit(code)
