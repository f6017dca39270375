"""The processes of a rendered pod on this machine, and requests to its API."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu.renderedpod import Pod
from kit.scripts import OWN_SHARED_MEMORY, namespace, terminate

OWN_PROCESSES = f"mount -t proc proc /proc && {OWN_SHARED_MEMORY}"
"""Ray looks its processes up in /proc: it gets one of its own."""
END_SECONDS = 30
"""Seconds that vLLM may take in addition to its drain. The chart's grace period has 20 of them."""
ANSWER_SECONDS = 60
"""For one answer; the first one compiles."""


def own_address() -> str:
    """Return the address that Ray would take: of the way out, else of the host's name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))  # of RFC 5737, and nothing is sent
            found: str = way.getsockname()[0]
        except OSError:
            found = socket.gethostbyname(socket.gethostname())
    return found


class Server:
    """The pod's processes: PID 1 of a namespace of their own, which end with it, like a container's."""

    def __init__(self, pod: Pod, log: Path) -> None:
        """Start them, with the log in a file."""
        self.pod, self.log = pod, log
        inside = ["bash", "-c", OWN_PROCESSES, "pod", *pod.command]
        with log.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [*namespace(), *inside], env=pod.env, stdout=output, stderr=subprocess.STDOUT, text=True
            )

    def children(self, process: int) -> list[int]:
        """Return a process's children."""
        try:
            text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        return [int(word) for word in text.split()]

    def titles(self) -> Iterator[str]:
        """Yield the command lines of all processes of the pod."""
        left = self.children(self.process.pid)
        while left:
            process = left.pop()
            left += self.children(process)
            try:
                line = Path(f"/proc/{process}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield line.replace(b"\0", b" ").decode(errors="replace").strip()

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a request, parsed if it is JSON.

        Raises:
            OSError: the server does not answer, or answers with an error.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.pod.port}{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a completion's request."""
        name = self.call("/v1/models")["data"][0]["id"]
        answer: dict[str, Any] = self.call("/v1/completions", {"model": name, **body})
        return answer

    def await_health(self, seconds: float) -> None:
        """Wait for /health.

        Raises:
            TimeoutError: it did not come.
            ChildProcessError: the pod's processes ended before.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (status := self.process.poll()) is not None:
                raise ChildProcessError(f"ended with exit status {status} before it served")
            try:
                self.call("/health")
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise TimeoutError(f"no /health in {seconds:.0f} s")

    def end(self) -> int:
        """Send SIGTERM, and return the exit status.

        Raises:
            subprocess.TimeoutExpired: the pod does not end.
        """
        terminate(self.process)
        return self.process.wait(timeout=int(self.pod.env["MULTINODE_DRAIN_SECONDS"]) + END_SECONDS)

    def kill(self) -> None:
        """End all that is left."""
        if self.process.poll() is None:
            self.process.kill()  # and the kernel its namespace
            self.process.wait()


@contextmanager
def serving(pod: Pod, log: Path, seconds: float) -> Iterator[tuple[Server, float]]:
    """Give a pod's processes once they serve, and the seconds that it took; end what is left of them afterwards.

    Raises:
        OSError: they ended before they served, or do not serve in time.
    """
    begin, server = time.monotonic(), Server(pod, log)
    try:
        server.await_health(seconds)
        yield server, time.monotonic() - begin
    finally:
        server.kill()


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)
