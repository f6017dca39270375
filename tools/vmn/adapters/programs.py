"""Running other programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HOW_TO_GET = 'In a checkout of the project, `eval "$(make -s env)"` adds all of them; otherwise install them yourself.'


class MissingError(Exception):
    """A program or a cluster is missing; the message says how to get it."""


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


def require(names: Iterable[str]) -> None:
    """Check that programs are on PATH.

    Raises:
        MissingError: a program is missing.
    """
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingError(f"{', '.join(missing)} {verb} not on PATH. " + HOW_TO_GET)


def run(
    command: Sequence[str], limit: float, *, show: bool = False, folder: Path | None = None, alone: bool = False
) -> Done:
    """Run a command until it ends, or until ``limit`` seconds have passed.

    Args:
        command: the list of arguments.
        limit: time limit in seconds.
        show: whether to pass its output to standard error instead of collecting it.
        folder: directory in which it runs, the current one by default.
        alone: whether Ctrl+C in the terminal does not reach it, so that what it began gets done.

    Raises:
        MissingError: the program is not on PATH.
    """
    stream = 2 if show else subprocess.PIPE
    try:
        done = subprocess.run(
            list(command),
            stdout=stream,
            stderr=stream,
            text=True,
            timeout=limit,
            cwd=folder,
            env=dict(os.environ),
            check=False,
            start_new_session=alone,
        )
    except FileNotFoundError as error:
        raise MissingError(f"{command[0]} is not on PATH. {HOW_TO_GET}") from error
    except subprocess.TimeoutExpired:
        return Done(124, "", f"not finished after {limit:.0f} s")
    return Done(done.returncode, done.stdout or "", done.stderr or "")
