"""Requests to the API, from inside a pod's network: one line of JSON for each, on standard output.

Usage: ``python3 -I client.py SPEC``, JSON with ``address``, ``port``, ``model``, ``mode``, and

- ``bench``: ``requests`` at once, each with ``prompt`` and ``answer`` tokens, from ``processes`` that share them; ends
  when all have ended;
- ``steady``: such a request every ``period`` seconds until SIGTERM, then until all have ended;
- ``health``: asks for /health every ``period`` seconds until SIGTERM;
- ``ask``: one request with the text ``prompt``, which is not streamed.

``limit`` bounds each request, in seconds. Times are seconds of the monotonic clock, which all processes of a host
share. Needs only the standard library.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

LOWEST, HIGHEST = 5, 500
"""Token ids of prompts: those that every vocabulary has."""
DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
REASON = 300
"""Characters of an error that are kept."""
Spec = Mapping[str, Any]


def tell(**record: Any) -> None:
    """Print a record."""
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


class Answer:
    """A response whose head has come."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> None:
        """Keep them."""
        self.reader, self.status, self.headers = reader, status, headers

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            EOFError: the connection ends in the middle of it.
        """
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int((await self.line()).split(b";")[0], 16):
                yield (await self.exactly(size + 2))[:-2]
            await self.line()
        elif "content-length" in self.headers:
            yield await self.exactly(int(self.headers["content-length"]))
        else:
            while part := await self.reader.read(2**16):
                yield part

    async def line(self) -> bytes:
        """Return a line."""
        found = await self.reader.readline()
        if not found.endswith(b"\n"):
            raise EOFError("the connection was closed in the middle of the response")
        return found.strip()

    async def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise EOFError("the connection was closed in the middle of the response") from error

    async def events(self) -> AsyncIterator[str]:
        """Yield the data of server-sent events."""
        rest = b""
        async for part in self.parts():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    yield line[6:].strip().decode(errors="replace")


async def send(
    spec: Spec, method: str, path: str, body: Mapping[str, Any] | None
) -> tuple[Answer, asyncio.StreamWriter]:
    """Send a request on a connection of its own and return the response's head.

    Raises:
        OSError: the connection can't be opened.
        EOFError: it is closed before the head has come.
    """
    reader, writer = await asyncio.open_connection(spec["address"], spec["port"], limit=2**20)
    data = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", f"Host: {spec['address']}", "Connection: close"]
    head += ["Content-Type: application/json", f"Content-Length: {len(data)}", "", ""]
    writer.write("\r\n".join(head).encode() + data)
    await writer.drain()
    answer = Answer(reader, 0, {})
    answer.status = int((await answer.line()).split()[1])
    headers: dict[str, str] = {}
    while line := await answer.line():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip().lower()
    answer.headers = headers
    return answer, writer


def prompt(spec: Spec, number: int) -> list[int]:
    """Return token ids that no other request of this client has, so that no prefix is cached."""
    chosen = random.Random(f"{spec.get('seed', 0)}/{number}")
    return [chosen.randrange(LOWEST, HIGHEST) for _ in range(spec["prompt"])]


async def stream(spec: Spec, number: int) -> None:
    """Send one request whose answer is streamed, and say what became of it."""
    body = {
        "model": spec["model"],
        "prompt": prompt(spec, number),
        "max_tokens": spec["answer"],
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    record: dict[str, Any] = {"kind": "request", "number": number, "start": time.monotonic()}
    tell(kind="sent", number=number, start=record["start"])
    writer = None
    try:
        async with asyncio.timeout(spec["limit"]):
            answer, writer = await send(spec, "POST", "/v1/completions", body)
            record["status"] = answer.status
            if answer.status == 200:
                await _read(answer, record)
            else:
                record["error"] = b"".join([part async for part in answer.parts()]).decode(errors="replace")[:REASON]
    except TimeoutError:
        record["error"] = f"no end within {spec['limit']} s"
        record["hung"] = True
    except (OSError, EOFError, ValueError, IndexError) as error:
        record["error"] = f"{type(error).__name__}: {error}"[:REASON]
    finally:
        if writer:
            writer.close()
    tell(**record, end=time.monotonic())


async def _read(answer: Answer, record: dict[str, Any]) -> None:
    """Read a stream; count its events, and keep usage, reason of its end, and errors."""
    record["events"] = 0
    async for data in answer.events():
        now = time.monotonic()
        if data == "[DONE]":
            record["done"] = True
            continue
        event = json.loads(data)
        if "error" in event:
            record["error"] = json.dumps(event["error"])[:REASON]
        for choice in event.get("choices", ()):
            record.setdefault("first", now)
            record["last"] = now
            record["events"] += 1
            if choice.get("finish_reason"):
                record["finish"] = choice["finish_reason"]
        if event.get("usage"):
            record["usage"] = {key: event["usage"].get(key) for key in ("prompt_tokens", "completion_tokens")}


async def bench(spec: Spec) -> None:
    """Send all requests at once."""
    numbers = range(spec.get("first", 0), spec["requests"], spec.get("processes", 1))
    await asyncio.gather(*(stream(spec, number) for number in numbers))


def in_processes(spec: Spec) -> None:
    """Send all requests at once from several processes, as one can't read thousands of tokens per second."""
    for first in range(spec["processes"]):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            try:
                asyncio.run(bench({**spec, "first": first}))
            finally:
                os._exit(0)
    for _ in range(spec["processes"]):
        os.wait()


async def steady(spec: Spec) -> None:
    """Send a request again and again, whatever became of the others."""
    stop = _on_sigterm()
    tasks: set[asyncio.Task[None]] = set()
    number, due = 0, time.monotonic()
    while not stop.is_set():
        tasks.add(asyncio.create_task(stream(spec, number)))
        number, due = number + 1, due + spec["period"]
        await _until(stop, due - time.monotonic())
    await asyncio.gather(*tasks)


async def health(spec: Spec) -> None:
    """Ask for /health again and again, each time on a connection of its own."""
    stop = _on_sigterm()
    due = time.monotonic()
    while not stop.is_set():
        begin = time.monotonic()
        record: dict[str, Any] = {"kind": "health", "start": begin}
        writer = None
        try:
            async with asyncio.timeout(spec["limit"]):
                answer, writer = await send(spec, "GET", "/health", None)
                record["status"] = answer.status
        except TimeoutError:
            record["error"] = "no answer"
        except (OSError, EOFError, ValueError, IndexError) as error:
            record["error"] = type(error).__name__
        finally:
            if writer:
                writer.close()
        tell(**record, end=time.monotonic())
        due += spec["period"]
        await _until(stop, due - time.monotonic())


async def ask(spec: Spec) -> None:
    """Send one request that is not streamed, and print the whole response."""
    body = {key: spec[key] for key in ("model", "prompt", "max_tokens", "temperature") if key in spec}
    begin = time.monotonic()
    async with asyncio.timeout(spec["limit"]):
        answer, writer = await send(spec, "POST", "/v1/completions", body)
        text = b"".join([part async for part in answer.parts()]).decode(errors="replace")
        writer.close()
    tell(kind="answer", status=answer.status, seconds=time.monotonic() - begin, body=json.loads(text))


def _on_sigterm() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def _until(stop: asyncio.Event, seconds: float) -> None:
    """Wait for some time, or until there is something to stop for."""
    if seconds > 0:
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            return


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given.get("processes", 1) > 1:
        in_processes(given)
        raise SystemExit
    asyncio.run({"bench": bench, "steady": steady, "health": health, "ask": ask}[given["mode"]](given))
