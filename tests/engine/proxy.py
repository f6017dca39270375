"""The API server's proxy to pods and Services of a namespace, and the requests of a group that is deleted."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kit.cluster import background
from kit.progress import say
from kit.release import Release

DRAIN_LIMIT = 150
"""Seconds of a drain: requests that take 25 s when they begin may take several times that beside other tests."""
ANSWER_LIMIT = DRAIN_LIMIT + 30
"""Seconds for an answer, while four requests run."""
ANSWERED_FOR = 25
"""Seconds of requests during which the group is deleted."""
LONGER = 10
"""Seconds of a request after the deletion: pods that do not wait for it live for 5 s, those of their preStop hooks."""
TRIED = 16
"""Tokens of a request that tells how fast the group is."""
LEAST, MOST = 48, 480
"""Tokens of an answer: enough for ``LONGER`` in a group that was slow only while it was tried, few enough for a drain
of one that stays slow; and what fits into the preset's context."""


@dataclass(frozen=True)
class Proxy:
    """The API server's proxy to a namespace."""

    url: str

    def page(self, kind: str, name: str, port: int, path: str, body: Mapping[str, Any] | None = None) -> str:
        """Return what a pod or a Service answers.

        Raises:
            OSError: it does not answer, or with an error.
        """
        data = json.dumps(body).encode() if body else None
        address = f"{self.url}/{kind}/{name}:{port}/proxy/{path}"
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_LIMIT) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise
        return text

    def complete(self, kind: str, name: str, port: int, tokens: int = 2) -> int:
        """Ask for a completion of exactly so many tokens, and return how many came."""
        body = {"model": "tiny", "prompt": "San Francisco is a", "max_tokens": tokens, "ignore_eos": True}
        usage: int = json.loads(self.page(kind, name, port, "v1/completions", body))["usage"]["completion_tokens"]
        return usage


@contextmanager
def proxied(namespace: str) -> Iterator[Proxy]:
    """Open the API server's proxy."""
    with background("kubectl", "proxy", "--port=0", ready=r"127\.0\.0\.1:(\d+)") as started:
        yield Proxy(f"http://127.0.0.1:{started[1]}/api/v1/namespaces/{namespace}")


def no_request_is_lost(release: Release, endpoints: Sequence[tuple[str, int]]) -> None:
    """Uninstall a release while each endpoint, a pod and a port, answers a request that outlives the preStop hook.

    Raises:
        AssertionError: an answer is not complete, or all of them were too short to tell.
        OSError: a request failed.
    """
    with proxied(release.namespace) as proxy, ThreadPoolExecutor(len(endpoints)) as pool:

        def answers(tokens: int) -> Iterator[tuple[int, float]]:
            def ask_one(place: tuple[str, int]) -> tuple[int, float]:
                pod, port = place
                return proxy.complete("pods", pod, port, tokens), time.monotonic()

            return pool.map(ask_one, endpoints)

        assert {got for got, _ in answers(2)} == {2}, "each server's first request takes longer"
        begun = time.monotonic()
        assert {got for got, _ in answers(TRIED)} == {TRIED}
        tokens = min(MOST, max(LEAST, int(TRIED * ANSWERED_FOR / (time.monotonic() - begun))))
        say(f"requests for {tokens} tokens")
        running = answers(tokens)
        time.sleep(2)  # they have reached the servers
        deleted = time.monotonic()
        release.uninstall(DRAIN_LIMIT + 60)
        lasted = [(got, round(ended - deleted)) for got, ended in running]
    say(f"tokens, and seconds after the deletion: {lasted}")
    assert {got for got, _ in lasted} == {tokens}
    assert max(seconds for _, seconds in lasted) >= LONGER
