"""A program in place of ``vllm serve`` for groups of two nodes: an API server, and a rank on each node.

The leader streams completions. For each token its rank asks the worker's rank, as tensor parallelism does, so that a
worker that stands still makes all requests wait. After ``STEP_SECONDS`` without an answer the server ends its requests
with an error, and exits ``DEAD_SECONDS`` later with status 0, as vLLM 0.33 does. Each start writes a kernel to an empty
cache. It has the command line of vLLM as far as the chart uses it, and titles of processes as vLLM has them. With
``--load-format ipc_cache``, the rank of each node needs the socket of a weight daemon. With ``KV_CACHE_GIB``, it says
how much memory its ranks have measured for the KV cache, those of the worker after a slash, unless the command line
says it. ``START_SECONDS`` go by before it serves. Needs only the standard library.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STEP = 0.02
"""Seconds for one token."""


def lead(address: str, port: int) -> None:
    """Be the leader's rank: pass each line on to the worker, and print what comes back."""
    with socket.create_server((address, port)) as server:
        while True:
            one, _ = server.accept()
            peer = one.makefile("rw")
            if peer.readline():
                break
            one.close()  # a probe of the chart
    with one, peer:
        print("joined", flush=True)
        for line in sys.stdin:
            peer.write(line)
            peer.flush()
            if not peer.readline():
                break
            print("done", flush=True)
    sys.exit("rank: the worker has closed its connection")


def follow(address: str, port: int) -> None:
    """Be the worker's rank: answer each line."""
    for _ in range(300):
        with suppress(OSError):
            one = socket.create_connection((address, port), 5)
            break
        time.sleep(0.1)
    one.settimeout(None)
    with one, one.makefile("rw") as peer:
        peer.write("hello\n")
        peer.flush()
        for line in peer:
            peer.write(line)
            peer.flush()
    sys.exit("rank: the leader has closed its connection")


def start_rank(title: str, *words: str) -> subprocess.Popen[str]:
    """Start a rank with the title that vLLM gives it."""
    command = [title, __file__, *words]
    return subprocess.Popen(command, executable=sys.executable, stdin=-1, stdout=-1, text=True, bufsize=1)


class Server:
    """The leader's API server."""

    def __init__(self, rank: subprocess.Popen[str]) -> None:
        """Take the rank, which must be joined."""
        self.rank, self.dead, self.open, self.draining = rank, False, 0, False
        self.turn = asyncio.Lock()

    async def step(self) -> None:
        """Compute a token on both nodes.

        Raises:
            TimeoutError: a rank did not answer in time.
            EOFError: a rank has ended.
        """
        assert self.rank.stdin
        async with self.turn:
            with suppress(BrokenPipeError):
                self.rank.stdin.write("step\n")
            loop = asyncio.get_running_loop()
            assert self.rank.stdout
            answer = loop.run_in_executor(None, self.rank.stdout.readline)
            if not await asyncio.wait_for(answer, float(os.environ.get("STEP_SECONDS", "5"))):
                raise EOFError("a rank has ended")
            await asyncio.sleep(STEP)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        except (OSError, EOFError):  # a probe that only connects
            writer.close()
            return
        method, path, *_ = head.split()
        size = next((line.split(":")[1] for line in head.splitlines() if line.startswith("content-length:")), "0")
        body = json.loads(await reader.readexactly(int(size)) or b"{}")
        if path == "/health":
            self._write(writer, 503 if self.dead else 200, "")
        elif path == "/v1/models":
            self._write(writer, 200, json.dumps({"data": [{"id": "tiny"}]}))
        elif path == "/metrics":
            self._write(writer, 200, f'vllm:num_requests_running{{engine="0"}} {self.open}\n')
        elif method == "post":
            self.open += 1
            await self._complete(writer, body)
            self.open -= 1
        with suppress(OSError):
            await writer.drain()
        writer.close()

    async def _complete(self, writer: asyncio.StreamWriter, body: dict[str, object]) -> None:
        count = int(str(body.get("max_tokens", 16)))
        prompt = body.get("prompt", "")
        usage = {"prompt_tokens": len(prompt) if isinstance(prompt, list) else 5, "completion_tokens": count}
        if not body.get("stream"):
            for _ in range(count):
                await self.step()
            choice = {"text": " a" * count, "finish_reason": "length"}
            self._write(writer, 200, json.dumps({"choices": [choice], "usage": usage}))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            for number in range(count):
                await self.step()
                finish = "length" if number == count - 1 else None
                self._event(writer, {"choices": [{"text": " a", "finish_reason": finish}]})
                await writer.drain()
            self._event(writer, {"choices": [], "usage": usage})
        except (TimeoutError, EOFError) as error:
            self._event(writer, {"error": {"message": f"EngineCore encountered an issue: {error!r}"}})
            self.die()
        writer.write(b"data: [DONE]\n\n")

    def die(self) -> None:
        """End as a server does whose engine is dead: with status 0, a moment later."""
        if not self.dead:
            self.dead = True
            print("ERROR EngineDeadError: the engine is dead", flush=True)
            asyncio.get_running_loop().call_later(float(os.environ.get("DEAD_SECONDS", "1.5")), os._exit, 0)

    def stop(self) -> None:
        """End when all requests are answered."""
        if not self.open:
            os._exit(0)
        asyncio.get_running_loop().call_later(0.1, self.stop)

    @staticmethod
    def _write(writer: asyncio.StreamWriter, status: int, text: str) -> None:
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    @staticmethod
    def _event(writer: asyncio.StreamWriter, data: object) -> None:
        writer.write(f"data: {json.dumps(data)}\n\n".encode())


def take_weights(asked: argparse.Namespace) -> None:
    """Connect to the weight daemon of this node, as a rank does for its weights, or end."""
    if asked.load_format != "ipc_cache":
        return
    config = json.loads(asked.model_loader_extra_config)
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            os.chdir(config["socket_dir"])  # the path of a socket must be short
            peer.connect("vllm_weight_cache_0.sock")
        except OSError as error:
            sys.exit(f"WeightCacheUnavailableError: Cannot connect to weight cache daemon: {error}")


async def serve(rank: subprocess.Popen[str], port: int) -> None:
    """Serve until SIGTERM."""
    server = Server(rank)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    async with await asyncio.start_server(server.handle, "0.0.0.0", port, limit=2**20) as listener:
        print("INFO:     Application startup complete.", flush=True)
        await listener.serve_forever()


def main() -> None:
    """Be what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--port", type=int)
    parser.add_argument("--master-addr")
    parser.add_argument("--master-port", type=int, default=29501)
    parser.add_argument("--load-format")
    parser.add_argument("--model-loader-extra-config")
    parser.add_argument("--kv-cache-memory-bytes")
    asked, _ = parser.parse_known_args()
    if asked.mode in ("lead", "follow"):
        {"lead": lead, "follow": follow}[asked.mode](asked.words[0], int(asked.words[1]))
    take_weights(asked)
    if asked.kv_cache_memory_bytes is None:
        leaders, _, workers = os.environ.get("KV_CACHE_GIB", "").partition("/")
        for size in (workers if asked.headless else leaders).split():
            print(f"(Worker pid=2) INFO [gpu_worker.py:1066] Current kv cache memory in use is {size} GiB.", flush=True)
    compiled = Path(os.environ["TRITON_CACHE_DIR"], "kernel")
    if not compiled.exists():
        compiled.parent.mkdir(parents=True, exist_ok=True)
        compiled.write_text("compiled")
    where = (asked.master_addr, str(asked.master_port))
    if asked.headless:
        rank = start_rank("VLLM::Worker_TP1", "follow", *where)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        sys.exit(rank.wait() and 1)
    print("(APIServer pid=1) INFO model starts", flush=True)
    rank = start_rank("VLLM::Worker_TP0", "lead", *where)
    assert rank.stdout
    rank.stdout.readline()
    time.sleep(float(os.environ.get("START_SECONDS", "1")))
    asyncio.run(serve(rank, asked.port))


if __name__ == "__main__":
    main()
