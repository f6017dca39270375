"""Choices that environment variables name, made while modules are imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def of_the_environment(variable: str, named: Callable[[str], T]) -> T:
    """Return what a variable names, by a function that raises a LookupError for other names, and end with its message.

    Args:
        variable: unset is the same as empty.
        named: finds it by its name.
    """
    try:
        return named(os.environ.get(variable, ""))
    except LookupError as error:  # modules are still being imported: no command can answer yet
        sys.exit(str(error))
