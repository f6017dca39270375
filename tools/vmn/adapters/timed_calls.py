"""Timed calls from a file: a report of ``vmn bench``, results of ``vllm bench serve``, or rows of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmn.core.speed.calibration import TimedCall
from vmn.core.speed.workload import Workload

ROW = 4
"""Numbers of a row: requests at once, prompt tokens, answer tokens, seconds."""


class TimedCallsError(Exception):
    """A file has no timed calls, or one that makes no sense; the message says which."""


def timed_calls(file: Path) -> list[TimedCall]:
    """Return the calls of a file.

    It holds rows ``[requests, prompt tokens, answer tokens, seconds]``, alone or under ``bench`` or ``calls``; or what
    ``vllm bench serve --save-result`` wrote, one result or a list of them; or a report of ``vmn bench``.

    Raises:
        TimedCallsError: the file has another form.
        OSError: the file can't be read.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = list(_calls(content))
    except (ValueError, TypeError, KeyError) as error:
        raise TimedCallsError(f"{file.name} has no timed calls: {error}") from error
    if not found:
        raise TimedCallsError(f"{file.name} has no timed calls.")
    return found


def _calls(content: Any) -> Iterator[TimedCall]:
    if isinstance(content, dict):
        for name in ("calls", "bench", "results"):
            if isinstance(content.get(name), list):
                yield from _calls(content[name])
                return
        yield _served(content)
        return
    for item in content:
        yield _row(item) if isinstance(item, list) else _served(item)


def _row(numbers: list[float]) -> TimedCall:
    if len(numbers) != ROW:
        raise ValueError(f"a row needs {ROW} numbers, but one is {numbers}")
    requests, prompt, answer = (_count(number) for number in numbers[:3])
    seconds = _positive(numbers[3])
    return TimedCall(Workload(prompt, answer, requests=requests), seconds, requests * answer / seconds)


def _served(result: dict[str, Any]) -> TimedCall:
    """Return the call of a result of ``vllm bench serve`` (0.33, ``benchmarks/serve.py``)."""
    done = _count(result["completed"])
    prompt = _count(round(result["total_input_tokens"] / done))
    answer = _count(round(result["total_output_tokens"] / done))
    seconds, most = _positive(result["duration"]), result.get("max_concurrency")
    rate = result["total_output_tokens"] / seconds
    if most and most < done:
        return TimedCall(Workload(prompt, answer, concurrency=_count(most)), None, rate)
    asked = result.get("request_rate")
    if asked not in (None, "inf", float("inf")):
        return TimedCall(Workload(prompt, answer, rate=_positive(asked)), None, rate)
    return TimedCall(Workload(prompt, answer, requests=done), seconds, rate)


def _count(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 1 or number != int(number):
        raise ValueError(f"{number} is not a whole number from 1 on")
    return int(number)


def _positive(number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < float("inf"):
        raise ValueError(f"{number} is not a number above 0")
    return float(number)
