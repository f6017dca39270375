"""A Hugging Face hub with one model, from a directory: what huggingface_hub asks for when it downloads, and no more.

Runs in a test, or by itself with Python's standard library alone: ``python3 smallhub.py FOLDER MODEL PORT``.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".pth", ".gguf")
"""Endings of files that the hub keeps in LFS, with a SHA-256; of the others it has git's own hash."""


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        refuse: status and error code of every answer, such as ``(401, "GatedRepo")``.
        torn: file -> how often it comes with a byte changed.
        lies: file -> a hash that is said to be its own.
        held: file -> what its second half waits for.
    """

    refuse: tuple[int, str] | None = None
    torn: dict[str, int] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    held: dict[str, threading.Event] = field(default_factory=dict)


@dataclass
class SmallHub:
    """One model at one commit, its faults, and what was asked of it.

    Attributes:
        directory: the model's files.
        model: its name.
        revisions: that it has, in addition to its commit.
        faults: what goes wrong.
        downloads: how often each file was sent.
    """

    directory: Path
    model: str
    revisions: tuple[str, ...] = ("main",)
    faults: Faults = field(default_factory=Faults)
    downloads: Counter[str] = field(default_factory=Counter)
    commit: str = "0123456789abcdef0123456789abcdef01234567"

    def names(self) -> list[str]:
        """Return the model's files."""
        return sorted(str(file.relative_to(self.directory)) for file in self.directory.rglob("*") if file.is_file())

    def hash_of(self, name: str) -> str:
        """Return what the hub says is a file's hash."""
        content = (self.directory / name).read_bytes()
        if name.endswith(LARGE):
            return self.faults.lies.get(name) or hashlib.sha256(content).hexdigest()
        header = f"blob {len(content)}\0".encode()
        return self.faults.lies.get(name) or hashlib.sha1(header + content, usedforsecurity=False).hexdigest()

    def info(self) -> Mapping[str, Any]:
        """Return the answer about the model, with its files."""
        return {"id": self.model, "sha": self.commit, "siblings": [self._sibling(name) for name in self.names()]}

    def _sibling(self, name: str) -> Mapping[str, Any]:
        size, digest = (self.directory / name).stat().st_size, self.hash_of(name)
        if not name.endswith(LARGE):
            return {"rfilename": name, "size": size, "blobId": digest}
        lfs = {"sha256": digest, "size": size, "pointerSize": 135}
        return {"rfilename": name, "size": size, "blobId": "0" * 40, "lfs": lfs}

    @contextmanager
    def served(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[str]:
        """Answer in the background, and give the address."""
        server = ThreadingHTTPServer(address, type("Bound", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: SmallHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        if hub.faults.refuse:
            return self._refuse(*hub.faults.refuse)
        about = re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", path)
        file = re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path)
        found = about or file
        if not found or found[1] != hub.model:
            return self._refuse(404, "RepoNotFound")
        if (found[2] or "main") not in (*hub.revisions, hub.commit):
            return self._refuse(404, "RevisionNotFound")
        if about:
            return self._send(json.dumps(hub.info()).encode(), {"Content-Type": "application/json"}, body=body)
        return self._file(found[3], body=body)

    def _file(self, name: str, *, body: bool) -> None:
        if name not in self.hub.names():
            return self._refuse(404, "EntryNotFound")
        content = (self.hub.directory / name).read_bytes()
        if body:
            self.hub.downloads[name] += 1
            if self.hub.faults.torn.get(name, 0):
                self.hub.faults.torn[name] -= 1
                content = bytes([content[0] ^ 1]) + content[1:]
        headers = {"ETag": f'"{self.hub.hash_of(name)}"', "X-Repo-Commit": self.hub.commit}
        self._send(content, headers, body=body, held=self.hub.faults.held.get(name))

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": code}, body=False, status=status)

    def _send(
        self,
        content: bytes,
        headers: Mapping[str, str],
        *,
        body: bool,
        status: int = HTTPStatus.OK,
        held: threading.Event | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        half = len(content) // 2
        try:
            self.wfile.write(content[:half])
            self.wfile.flush()
            if held:
                held.wait()
            self.wfile.write(content[half:])
        except OSError:  # whoever asked is gone
            self.close_connection = True


if __name__ == "__main__":
    with SmallHub(Path(sys.argv[1]), sys.argv[2]).served(("0.0.0.0", int(sys.argv[3]))):
        threading.Event().wait()
