"""What ``vmn doctor`` says of a release, while something happens to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kit.progress import say
from vmn.adapters.cluster import connect
from vmn.adapters.programs import MissingError
from vmn.app.doctor import diagnose, read_release
from vmn.core.doctor.finding import Diagnosis

PERIOD = 5
"""Seconds between two questions."""
NOBODY = "no API server"
"""In the place of a verdict when the API server does not answer."""


def ask(namespace: str, release: str = "vllm") -> Diagnosis:
    """Return the diagnosis of a release.

    Raises:
        MissingError: the API server does not answer, or the release does not exist.
    """
    client, _ = connect()
    return diagnose(read_release(client, namespace, release))


def verdict(diagnosis: Diagnosis) -> str:
    """Return the verdict's id when something is wrong, else nothing."""
    return diagnosis.findings[0].id if diagnosis.failed else ""


@dataclass
class Said:
    """What the doctor said over a time, each once, in the order in which it came.

    Attributes:
        verdicts: ids of what was wrong.
        told: id and words of every finding, notes on the past with them.
    """

    verdicts: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def add(self, diagnosis: Diagnosis) -> None:
        """Add what is new, and show by which lines the doctor came to a new verdict."""
        if _add(self.verdicts, name := verdict(diagnosis)):
            say(f"vmn doctor: {name}: {'; '.join(item.line for item in diagnosis.findings[0].evidence)}")
        for text in _texts(diagnosis):
            _add(self.told, text)

    def since(self, before: Diagnosis) -> list[str]:
        """Return what was told that was not told before, such as of an earlier failure."""
        return [text for text in self.told if text not in _texts(before)]


def _texts(diagnosis: Diagnosis) -> list[str]:
    return [f"{finding.id}: {finding.text}" for finding in diagnosis.findings]


def _add(to: list[str], text: str) -> bool:
    """Add a text that is new, and return whether it was."""
    new = bool(text) and text not in to
    if new:
        to.append(text)
    return new


@contextmanager
def asked_all_the_time(namespace: str) -> Iterator[Said]:
    """Give what is filled with all that the doctor says."""
    said = Said()
    done = threading.Event()

    def keep_asking() -> None:
        while not done.wait(PERIOD):
            try:
                said.add(ask(namespace))
            except MissingError:
                _add(said.verdicts, NOBODY)

    thread = threading.Thread(target=keep_asking, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        done.set()
        thread.join(30)
