"""Signals that end a command: all of them like Ctrl+C, and none while it cleans up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[..., object] | signal.Handlers | int | None


@contextmanager
def _handling(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Replace signal handlers for a while, which only the main thread may do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sigterm_like_interrupt() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt for SIGTERM as well, which CI systems and Kubernetes send."""
    return _handling({signal.SIGTERM: signal.default_int_handler})


def all_like_interrupt() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt for SIGTERM, and for SIGHUP of a terminal that closes unless ``nohup`` ignores it."""
    ended = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ended.append(signal.SIGHUP)
    return _handling(dict.fromkeys(ended, signal.default_int_handler))


def undisturbed() -> AbstractContextManager[None]:
    """Ignore the signals that end a command."""
    return _handling(dict.fromkeys(ENDING, signal.SIG_IGN))


@contextmanager
def deferred() -> Iterator[None]:
    """Raise KeyboardInterrupt for the signals that end a command only when something short is done."""
    heard: list[int] = []
    try:
        with _handling(dict.fromkeys(ENDING, lambda number, _: heard.append(number))):
            yield
    finally:
        if heard:
            raise KeyboardInterrupt
