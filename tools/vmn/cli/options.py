"""What the commands share: options, groups of options in the help, notes, and exit statuses."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

FINDINGS, MISSING = 1, 3
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

chart_option = click.option(
    "--chart",
    envvar="VMN_CHART",
    show_envvar=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of the chart.  [default: the chart that comes with vmn]",
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
values_option = click.option(
    "-f",
    "--values",
    "files",
    multiple=True,
    type=FILE,
    help="Values file, as in helm. You can repeat this option; later files override earlier ones.",
)


class Command(click.Command):
    """A command whose help has an example, and its options in groups."""

    def __init__(self, *args: Any, example: str = "", groups: Mapping[str, Iterable[str]] | None = None, **more: Any):
        """Take the example and the groups.

        Args:
            args: click's own arguments.
            example: a command line that works.
            groups: for each heading the names of its options; all other options are under "Options".
            more: click's own arguments.
        """
        super().__init__(*args, **more)
        self.example = example
        self.groups = {heading: frozenset(names) for heading, names in (groups or {}).items()}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by group."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*self.groups, "Options")}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record:
                sections[self._heading(option.name or "")].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def _heading(self, name: str) -> str:
        return next((heading for heading, names in self.groups.items() if name in names), "Options")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        if self.example:
            formatter.write(f"\nExample:\n  {self.example}\n")


def cluster_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add kubectl's options for the cluster and the namespace."""
    command = click.option("--context", help="Context in the kubeconfig file, as in kubectl.")(command)
    command = click.option("--kubeconfig", help="Path to the kubeconfig file, as in kubectl.")(command)
    return click.option("-n", "--namespace", help="Namespace of the release.  [default: the context's namespace]")(
        command
    )


def note(message: str) -> None:
    """Print a note to standard error; it is not part of the result."""
    click.echo(message, err=True)


def progress(line: str) -> None:
    """Print a line about progress to standard error."""
    note(f"vmn: {line}")


def use_color() -> bool:
    """Return whether the result goes to a terminal that shows colors."""
    import os

    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def refuses_values(error: Exception) -> NoReturn:
    """Say that the chart refuses the values, and exit."""
    note(f"vmn: the chart refuses the values. Run `vmn validate` for details.\n{error}")
    sys.exit(FINDINGS)


def ends_with_status(command: Callable[P, R]) -> Callable[P, R]:
    """Exit with 3 when a program or a cluster is missing, and with 2 when a file can't be read."""

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
