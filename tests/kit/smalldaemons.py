"""A program in place of ``vllm preload``: weight daemons of one node, which hold nothing.

It has the command line of vLLM's as far as the chart uses it, and behaves like 0.33: the daemons of all nodes meet at
the leader before they load, which takes ``LOAD_SECONDS``; each then holds a lock and a socket; /health answers with 503
until all hold their weights, and again when one has ended. In /dev/shm, each has a file of CUDA's events and one of
PyTorch's counters. Needs only the standard library.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

GPUS = 2
HOLD = "hold"
SHARED = ("cuda.shm.0.", "torch_")
"""How the names of its files in /dev/shm begin; an engine that finds none of CUDA's can't map the weights (0.33, seen
on a GPU)."""


def hold(folder: Path, gpu: str) -> None:
    """Be the daemon of a GPU."""
    name = f"vllm_weight_cache_{gpu}.sock"
    os.chdir(folder)  # the path of a socket must be short
    lock = os.open(f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"WeightCacheUnavailableError: Another weight cache daemon already owns {folder / name}")
    for file in SHARED:
        Path(f"/dev/shm/{file}{os.getpid()}").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        print("holds", flush=True)
        while True:
            server.accept()[0].close()


def meet(asked: argparse.Namespace) -> None:
    """Wait until the daemons of all nodes are there."""
    where = (asked.master_addr, asked.weight_cache_master_port)
    if asked.node_rank == 0:
        with socket.create_server(where) as server:
            for _ in range(asked.nnodes - 1):
                server.accept()[0].close()
        return
    while True:
        with suppress(OSError):
            socket.create_connection(where, 5).close()
            return
        time.sleep(0.1)


def tell(host: str, port: int, daemons: list[subprocess.Popen[str]], ready: list[bool]) -> None:
    """Answer /health."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready and all(one.poll() is None for one in daemons) else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    Thread(target=HTTPServer((host, port), Health).serve_forever, daemon=True).start()


def main() -> None:
    """Be what the command line says."""
    if sys.argv[1] == HOLD:
        hold(Path(sys.argv[2]), sys.argv[3])
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("mode", choices=["preload"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--nnodes", type=int, default=1)
    parser.add_argument("--node-rank", type=int, default=0)
    parser.add_argument("--master-addr", default="127.0.0.1")
    parser.add_argument("--master-port", type=int)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--weight-cache-socket-dir", required=True)
    parser.add_argument("--weight-cache-master-port", type=int, required=True)
    parser.add_argument("--weight-cache-draft-master-port", type=int)
    parser.add_argument("--weight-cache-health-host", default="0.0.0.0")
    parser.add_argument("--weight-cache-health-port", type=int, required=True)
    asked = parser.parse_args()
    folder = asked.weight_cache_socket_dir
    if error := os.environ.get("LOAD_ERROR"):
        sys.exit(error)
    meet(asked)
    daemons = [
        subprocess.Popen([sys.executable, __file__, HOLD, folder, str(gpu)], stdout=subprocess.PIPE, text=True)
        for gpu in range(GPUS)
    ]
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    ready: list[bool] = []
    tell(asked.weight_cache_health_host, asked.weight_cache_health_port, daemons, ready)
    time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
    if all(one.stdout and one.stdout.readline() for one in daemons):
        ready.append(True)
        print("===== Weight cache daemon READY =====", flush=True)
    sys.exit(max([one.wait() for one in daemons]))


if __name__ == "__main__":
    main()
