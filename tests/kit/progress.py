"""What the slow tiers are doing, on the terminal while they do it, and waits that end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

T = TypeVar("T")
_begun = time.monotonic()
_uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext


class TooLate(AssertionError):  # noqa: N818 - reads as what happened
    """What was waited for did not come."""


def show_past_capture(uncaptured: Callable[[], AbstractContextManager[object]]) -> None:
    """Print within ``uncaptured()`` from now on: pytest's own way past its capture of output."""
    global _uncaptured
    _uncaptured = uncaptured


def say(text: str) -> None:
    """Print a line at once, with the seconds since the tests began.

    One of several workers has no standard output, and says which it is.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    begin = f"\n  [{time.monotonic() - _begun:5.0f} s] {worker and worker + ': '}"
    with _uncaptured():
        print(f"{begin}{text}", end="", flush=True, file=sys.stderr if worker else sys.stdout)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    say(what)
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")


def wait_until(
    what: str,
    ready: Callable[[], T],
    limit: float,
    *,
    period: float = 1.0,
    state: Callable[[], object] = lambda: "",
    every: float = 20.0,
) -> T:
    """Wait until ``ready()`` is true and return what it returned.

    Args:
        what: named in the error.
        ready: what is asked; its own exceptions end the wait.
        limit: seconds.
        period: seconds between two questions.
        state: described on the terminal meanwhile, and in the error.
        every: seconds between two such descriptions.

    Raises:
        TooLate: it did not become true in time.
    """
    start = time.monotonic()
    told = start
    while True:
        found = ready()
        if found:
            return found
        now = time.monotonic()
        if now - start > limit:
            raise TooLate(f"no {what} within {limit:.0f} s; now: {state()}")
        if now - told >= every:
            told = now
            say(f"  no {what} yet: {state()}")
        time.sleep(period)
