"""A program in place of vLLM: an API server, and an engine in a process of its own, both of which can be frozen.

It answers ``/health``, ``/metrics``, and ``/v1/completions`` as vLLM does, as far as the chart's scripts read that. The
engine works on one request at a time, and tells the server its numbers after each step. Settings are environment
variables: ``MULTINODE_PORT``, ``STEPS`` of a prefill, ``REFUSES`` (a status for completions), and ``ASLEEP``. SIGUSR1
keeps the server computing for ``BUSY`` seconds, in which it answers nothing. SIGTERM ends it after ``DRAINS`` seconds,
and its engine after ``ENGINE_DRAINS`` seconds, if that is set.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STEP = 0.4
"""Seconds."""


def engine() -> None:
    """Work on requests, one a line; print requests that run, share of the KV cache, and tokens after each step."""
    for tokens, _ in enumerate(sys.stdin):
        for step in range(1 + int(os.environ.get("STEPS", "0"))):
            print(1, step / 100, tokens, flush=True)
            time.sleep(STEP)
        print(0, 0.0, tokens + 1, flush=True)


class Server(BaseHTTPRequestHandler):
    """The API server."""

    core: subprocess.Popen[str]
    numbers: tuple[str, ...] = ("0", "0.0", "0")
    waiting: queue.Queue[threading.Event] = queue.Queue()
    busy = False

    def do_GET(self) -> None:
        """Answer a probe or a reader of metrics."""
        if Server.busy:
            time.sleep(3600)
        names = ("num_requests_running", "kv_cache_usage_perc", "generation_tokens_total")
        lines = [
            f'vllm:{name}{{engine="0",model_name="a/b"}} {value}'
            for name, value in zip(names, self.numbers, strict=True)
        ]
        awake = 0.0 if os.environ.get("ASLEEP") else 1.0
        lines.append(f'vllm:engine_sleep_state{{engine="0",model_name="a/b",sleep_state="awake"}} {awake}')
        self._answer(200, "\n".join(lines) if self.path == "/metrics" else "")

    def do_POST(self) -> None:
        """Answer when the engine has worked on the request."""
        self.rfile.read(int(self.headers["Content-Length"]))
        print("completion asked for by", self.headers.get("Authorization", "somebody"), flush=True)
        if refused := os.environ.get("REFUSES"):
            self._answer(int(refused), "")
            return
        done = threading.Event()
        self.waiting.put(done)
        assert self.core.stdin
        print("request", file=self.core.stdin, flush=True)
        done.wait()
        self._answer(200, "{}")

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


def listen_to_engine() -> None:
    """Keep the numbers that the engine tells, and wake the request that it has finished."""
    assert Server.core.stdout
    for line in Server.core.stdout:
        Server.numbers = tuple(line.split())
        if Server.numbers[0] == "0":
            Server.waiting.get().set()


def compute() -> None:
    """Use the processor and answer nothing for a while."""
    Server.busy = True
    end = time.monotonic() + float(os.environ["BUSY"])
    while time.monotonic() < end:
        pass
    print("computed", flush=True)
    Server.busy = False


def drain() -> None:
    """End after a while, in which the server still answers."""
    lasts = float(os.environ.get("DRAINS", "0"))
    if first := os.environ.get("ENGINE_DRAINS"):
        time.sleep(float(first))
        Server.core.kill()
        Server.core.wait()
        lasts -= float(first)
    time.sleep(lasts)
    os._exit(0)


def main() -> None:
    """Serve until SIGTERM."""
    command = ["VLLM::EngineCore", __file__, "engine"]  # the title that vLLM gives it
    core = subprocess.Popen(command, executable=sys.executable, stdin=-1, stdout=-1, text=True)
    Server.core = core
    threading.Thread(target=listen_to_engine, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=drain).start())
    signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=compute).start())
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["MULTINODE_PORT"])), Server)
    print("started", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    engine() if sys.argv[1:] == ["engine"] else main()
