"""An API server that has what it is given, and nothing else: for commands that only read.

One that takes objects too is in ``kit.jobcluster``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = Mapping[str, Any]


class FakeCluster:
    """Objects by plural name, texts by path, and what was asked."""

    def __init__(self, objects: Mapping[str, Sequence[Object]], texts: Mapping[str, str]) -> None:
        """Serve objects, and texts: logs under ``POD/CONTAINER``, with ``/previous`` for the run before."""
        self.objects = objects
        self.texts = texts
        self.denied: set[str] = set()
        self.asked: list[str] = []

    def answer(self, address: str) -> tuple[int, str]:
        """Return status and body."""
        self.asked.append(address)
        url = urlsplit(address)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        if url.path == "/version":
            return 200, json.dumps({"major": "1", "minor": "36"})
        if parts[-1] == "log":
            name = f"{parts[-2]}/{query['container']}" + ("/previous" if query.get("previous") == "true" else "")
            return self._text(name)
        if "proxy" in parts:
            return self._text(f"{parts[parts.index('proxy') - 1]}/{parts[-1]}")
        return self._objects(parts)

    def _text(self, name: str) -> tuple[int, str]:
        return (200, self.texts[name]) if name in self.texts else (404, f"no {name}")

    def _objects(self, parts: list[str]) -> tuple[int, str]:
        rest = parts[2 if parts[0] == "api" else 3 :]
        rest = rest[2:] if rest[0] == "namespaces" and len(rest) > 2 else rest
        plural, name = rest[0], rest[1] if len(rest) > 1 else None
        if plural in self.denied:
            return 403, json.dumps({"message": f"{plural} is forbidden"})
        if plural not in self.objects:
            return 404, "404 page not found"
        found = self.objects[plural]
        if name is None:
            return 200, json.dumps({"items": found, "metadata": {}})
        one = next((item for item in found if item["metadata"]["name"] == name), None)
        return (200, json.dumps(one)) if one else (404, json.dumps({"message": "not found"}))

    def change(self, method: str, address: str, body: Object) -> tuple[int, str]:
        """Return status and body for a request that changes something; this server refuses all of them."""
        self.asked.append(f"{method} {address}")
        return 405, json.dumps({"message": f"{method} is not allowed"})

    @contextmanager
    def serving(self, kubeconfig: Path, namespace: str) -> Iterator[None]:
        """Listen on this machine, and write a kubeconfig that leads there."""
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send(*cluster.answer(self.path))

            def change(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send(*cluster.change(self.command, self.path, json.loads(content or "{}")))

            do_POST = do_PUT = do_PATCH = do_DELETE = change  # noqa: N815

            def send(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = {"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": namespace}}
        content = {
            **{"apiVersion": "v1", "kind": "Config", "current-context": "fake", "contexts": [context]},
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "none"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
