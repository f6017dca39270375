"""Continuous requests to a Service, from a pod beside it: one line of JSON a request, on standard output.

Runs in vLLM's image, with the client that users have, and nothing of this project. Settings are environment variables:
``URL`` of the API, ``MODEL``, ``CLIENTS`` at once, ``TOKENS`` of an answer, ``PAUSE`` seconds after each answer and
``LIMIT`` seconds for one. SIGTERM ends it when the requests in flight are answered.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import socket
import time

from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, Timeout
from openai.types import Completion

PROMPT = "San Francisco is a"
AFTER_FAILURE = 0.5
"""Seconds until a client asks again."""
TURNED_AWAY = "cannot schedule new futures after shutdown"
"""What vLLM 0.32 says, with status 500, to a request that comes while it drains."""
ENGINE_GONE = "EngineCore encountered an issue"
"""What it says, with status 500, once its engine has drained and ended, and when an engine dies under a request."""
NOT_ACCEPTED = ("ConnectError", "ConnectTimeout")
"""Errors of the HTTP library below the client, which differs between the client's versions."""
CLOSED = ("ReadError", "RemoteProtocolError")
"""Errors when a server closes its port on a connection that it has not read, and when it dies under a request."""
AT_ONCE = 0.25
"""Seconds: a server on its way out turns requests away in 14 to 100 ms (measured); most that dies in work is older."""


def outcome(error: Exception, seconds: float) -> str:
    """Return what became of a request in so many seconds: no server accepted it, no answer came, or it failed."""
    at_once = seconds < AT_ONCE
    if isinstance(error, APIStatusError):
        away = TURNED_AWAY in str(error) or (at_once and ENGINE_GONE in str(error))
        return "refused" if away else "failed"
    cause = type(error.__cause__).__name__
    if cause in NOT_ACCEPTED or (at_once and cause in CLOSED):
        return "refused"
    return "hung" if isinstance(error, APITimeoutError) else "failed"


def unfinished(answer: Completion, seconds: float) -> str:
    """Return what became of a request that vLLM aborted, which it says with status 200."""
    worked_on = answer.usage is None or answer.usage.completion_tokens > 0 or seconds >= AT_ONCE
    return "failed" if worked_on else "refused"


async def ask(client: AsyncOpenAI) -> bool:
    """Send one request, say what became of it, and return whether it was answered."""
    started, clock = time.time(), time.monotonic()
    result, why = "answered", ""
    try:
        answer = await client.completions.create(
            model=os.environ["MODEL"],
            prompt=PROMPT,
            max_tokens=int(os.environ["TOKENS"]),
            temperature=0,
            extra_body={"ignore_eos": True},
        )
        if (finish := answer.choices[0].finish_reason) != "length":
            result, why = unfinished(answer, time.monotonic() - clock), f"the answer was cut short: {finish}"
    except (APIConnectionError, APIStatusError) as error:
        result = outcome(error, time.monotonic() - clock)
        why = f"{type(error.__cause__ or error).__name__}: {error}"
    record = {"started": started, "seconds": time.monotonic() - clock, "result": result, "why": why}
    print(json.dumps(record), flush=True)
    return result == "answered"


async def main() -> None:
    """Send requests until SIGTERM, to the address that the Service's name had first: DNS is not what is tested."""
    socket.getaddrinfo = functools.cache(socket.getaddrinfo)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = AsyncOpenAI(
        base_url=os.environ["URL"],
        api_key=os.environ.get("API_KEY", "none"),
        timeout=Timeout(float(os.environ["LIMIT"]), connect=5),
        max_retries=0,
        # A connection for each request: they spread over all groups, and none meets a server that just closes it.
        default_headers={"Connection": "close"},
    )

    async def one_after_the_other() -> None:
        while not stop.is_set():
            answered = await ask(client)
            await asyncio.sleep(float(os.environ["PAUSE"]) if answered else AFTER_FAILURE)

    print(json.dumps({"ready": time.time()}), flush=True)
    await asyncio.gather(*(one_after_the_other() for _ in range(int(os.environ["CLIENTS"]))))


if __name__ == "__main__":
    asyncio.run(main())
