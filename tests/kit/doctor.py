"""What ``vmn doctor`` says of a release, while something happens to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vmn.adapters.cluster import connect
from vmn.adapters.doctor import take
from vmn.adapters.programs import MissingError
from vmn.adapters.signatures import load_signatures
from vmn.core.doctor.diagnose import diagnose
from vmn.core.doctor.finding import Diagnosis

PERIOD = 5
"""Seconds between two questions."""


def ask(namespace: str, release: str = "vllm") -> Diagnosis:
    """Return the diagnosis of a release.

    Raises:
        MissingError: the API server does not answer, or there is no such release.
    """
    client, _ = connect()
    return diagnose(take(client, namespace, release), load_signatures())


def verdict(diagnosis: Diagnosis) -> str:
    """Return the verdict's id when something is wrong, else nothing."""
    return diagnosis.findings[0].id if diagnosis.failed else ""


@contextmanager
def asked_all_the_time(namespace: str) -> Iterator[list[str]]:
    """Give a list that is filled with the verdicts, each once, in the order in which they came."""
    found: list[str] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.wait(PERIOD):
            try:
                now = verdict(ask(namespace))
            except MissingError:
                now = "nobody to ask"
            if now and now not in found:
                found.append(now)

    thread = threading.Thread(target=keep_asking, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join(30)
