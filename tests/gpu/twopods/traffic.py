"""Clients in the leader's network, and what became of their requests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from gpu.twopods.group import Group

PROGRAM = Path(__file__).with_name("client.py")
Record = dict[str, Any]


class Client:
    """A client that runs beside the leader, on the leader's node, and says what becomes of each request."""

    def __init__(self, group: Group, mode: str, **spec: Any) -> None:
        """Start it.

        Args:
            group: whose leader is asked.
            mode: of ``client.py``.
            spec: its further settings.
        """
        leader = group.sandboxes[0]
        content = {"address": leader.address, "port": group.spec.port, "model": group.spec.model, "mode": mode, **spec}
        self.records: list[Record] = []
        self.process = subprocess.Popen(
            leader.inside(sys.executable, "-I", str(PROGRAM), json.dumps(content)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        group.clients.append(self.process)
        self._readers = [threading.Thread(target=call, daemon=True) for call in (self._read, self._hear)]
        for reader in self._readers:
            reader.start()
        self.complaint = ""

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with suppress(ValueError):
                self.records.append(json.loads(line))

    def _hear(self) -> None:
        assert self.process.stderr
        self.complaint = self.process.stderr.read().decode(errors="replace")[-1000:]

    def wait(self, seconds: float) -> bool:
        """Wait for its end, kill it when it takes longer, and return whether it ended by itself."""
        try:
            self.process.wait(max(seconds, 0.1))
            ended = True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            ended = False
        for reader in self._readers:
            reader.join(5)
        return ended

    def stop(self, seconds: float) -> list[Record]:
        """Let it send no more requests, wait for those that are open, and return all records."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.wait(seconds)
        return self.records

    def open(self) -> int:
        """Return how many requests have no end yet."""
        kinds = [record["kind"] for record in list(self.records)]
        return kinds.count("sent") - kinds.count("request")


def whole(record: Record, answer: int) -> bool:
    """Return whether a request got all of its tokens."""
    tokens = (record.get("usage") or {}).get("completion_tokens")
    return record.get("finish") == "length" and tokens == answer and "error" not in record


def figures(records: Sequence[Record], requests: int, answer: int) -> dict[str, Any]:
    """Return what a bench measured; tokens are those of the responses' usage, and only whole responses count."""
    ended = [record for record in records if record["kind"] == "request"]
    good = [record for record in ended if whole(record, answer)]
    found: dict[str, Any] = {"requests": requests, "whole": len(good), "failed": requests - len(good)}
    if bad := [record for record in ended if not whole(record, answer)]:
        found["first_failure"] = {key: bad[0].get(key) for key in ("status", "finish", "error", "usage")}
    if good:
        seconds = max(record["end"] for record in good) - min(record["start"] for record in ended)
        tokens = sum(record["usage"]["completion_tokens"] for record in good)
        first = [record["first"] - record["start"] for record in good]
        each = [(record["last"] - record["first"]) / max(answer - 1, 1) for record in good]
        found |= {
            "seconds": round(seconds, 3),
            "prompt_tokens": sum(record["usage"]["prompt_tokens"] for record in good),
            "output_tokens": tokens,
            "output_tokens_per_s": round(tokens / seconds, 1),
            "first_token_median_s": round(median(first), 4),
            "first_token_longest_s": round(max(first), 4),
            "between_tokens_median_s": round(median(each), 5),
        }
    return found


def endings(records: Sequence[Record], moment: float) -> dict[str, Any]:
    """Return what became of the requests that were open at a moment, or were sent after it.

    Args:
        records: of one client or several.
        moment: seconds of the monotonic clock.
    """
    sent = [record for record in records if record["kind"] == "sent"]
    ended = {record["start"]: record for record in records if record["kind"] == "request"}
    rows, now = [], time.monotonic()
    for begin in sorted(record["start"] for record in sent):
        end = ended.get(begin, {"end": None})
        if end["end"] is not None and end["end"] < moment:
            continue
        row = {
            "sent": round(begin - moment, 2),
            "ended": None if end["end"] is None else round(end["end"] - moment, 2),
            "lasted": round((end["end"] or now) - begin, 2),
            "tokens_until": round(end["last"] - moment, 2) if "last" in end else None,
        }
        row |= {key: end[key] for key in ("status", "finish", "error", "done") if key in end}
        rows.append(row)
    before = [row for row in rows if row["sent"] <= 0]
    return {
        "open_at_the_fault": len(before),
        "last_of_these_ended": max((row["ended"] for row in before if row["ended"] is not None), default=None),
        "never_ended": sum(row["ended"] is None for row in rows),
        "longest": max((row["lasted"] for row in rows), default=0),
        "rows": rows,
    }


def served_again(records: Sequence[Record], moment: float) -> float | None:
    """Return when the first request ended well that was sent after a failed one, in seconds from a moment.

    None stands for no such request: all succeeded, or none has succeeded since.
    """
    ended = [record for record in records if record["kind"] == "request" and record["end"] >= moment]
    failed = [record["start"] for record in ended if record.get("finish") != "length" or "error" in record]
    good = [record["end"] for record in ended if failed and record["start"] > max(failed) and "error" not in record]
    return round(min(good) - moment, 2) if good else None


def health_changes(records: Sequence[Record], moment: float) -> list[list[Any]]:
    """Return what /health said, from when on: [seconds from the moment, status or error]."""
    found: list[list[Any]] = []
    for record in records:
        said = record.get("status") or record.get("error")
        if not found or found[-1][1] != said:
            found.append([round(record["start"] - moment, 1), said])
    return found
