"""A collector of traces that only keeps what it gets: OTLP over HTTP, as vLLM sends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PATH = "/v1/traces"


@dataclass
class Collector:
    """What came, each body as it was sent (protobuf, in which names are readable)."""

    port: int
    bodies: list[bytes] = field(default_factory=list)

    def has(self, *words: bytes) -> bool:
        """Return whether one body has all of some words."""
        return any(all(word in body for word in words) for body in self.bodies)


@contextmanager
def collector(address: str) -> Iterator[Collector]:
    """Listen on a free port of an address of this machine."""
    kept = Collector(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == PATH:
                kept.bodies.append(body)
            self.send_response(200 if self.path == PATH else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((address, 0), Handler) as server:
        kept.port = server.server_port
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join(10)
