"""Copies a log from standard input to standard output, but what a dead engine tells every request only once.

vLLM (0.32, 0.33) raises one exception object for all requests that are open when its engine dies, and logs it for each.
Its stack trace grows by nine lines each time: 67 open requests make 20,000 lines, and 190 make 160,000 within seconds
(measured), which push the reason of the failure out of every log. A record of several lines at level ERROR is left out
here if one with the same first and last line came from the same place in the last minute.
"""

from __future__ import annotations

import os
import re
import select
import time

PREFIX = re.compile(rb"^(?P<process>(?:\(\S+ pid=\d+\) )*)ERROR \d\d-\d\d \d\d:\d\d:\d\d (?P<place>\[\S+:\d+\]) ?")
"""What vLLM puts before each line of a record: processes, level, time, and place in the source."""
QUIET = 0.2
"""Seconds without input after which a record is complete, and a line without an end is passed on."""
REPEATED = 60
"""Seconds for which a record is not repeated."""
KEPT = 300
"""Lines of a record that are kept at most: more of them are left out in its middle."""
CHUNK = 65536


class Once:
    """The copy: gets lines, and returns those to pass on."""

    def __init__(self) -> None:
        """Begin without a record."""
        self._place = b""
        self._record: list[bytes] = []
        self._grew = 0.0
        self._told: dict[tuple[bytes, bytes, bytes], float] = {}
        self._left_out = 0

    def take(self, line: bytes, now: float) -> bytes:
        """Return what to pass on after one more line.

        Args:
            line: with its end.
            now: seconds.
        """
        found = PREFIX.match(line)
        if not found:
            complete = self.complete(now) if now - self._grew > QUIET else b""
            return complete + line if self._record else complete + self._count() + line
        place, text = found["process"] + found["place"], line[found.end() :]
        passed, self._grew = b"", now
        if place != self._place or self._begins(text):
            passed = self.complete(now)
            self._place = place
        self._record.append(line)
        if len(self._record) > KEPT:
            del self._record[KEPT // 2]
        return passed

    def _begins(self, text: bytes) -> bool:
        """Return whether a text of the record's place is the first line of the next record."""
        return bool(self._record) and text == PREFIX.sub(b"", self._record[0])

    def complete(self, now: float) -> bytes:
        """Return the record so far, unless it was passed on a short time ago."""
        record, self._record = self._record, []
        if not record:
            return b""
        key = (self._place, PREFIX.sub(b"", record[0]), PREFIX.sub(b"", record[-1]))
        if len(record) > 1 and now - self._told.get(key, -REPEATED) < REPEATED:
            self._left_out += 1
            return b""
        self._told[key] = now
        return self._count() + b"".join(record)

    def _count(self) -> bytes:
        """Return a line that says how many records were left out since the last such line."""
        number, self._left_out = self._left_out, 0
        return b"vllm-multinode: the last error was logged %d more times\n" % number if number else b""

    def end(self, now: float) -> bytes:
        """Return what is left at the end of the log."""
        return self.complete(now) + self._count()


def copy(source: int, target: int) -> None:
    """Copy until the source ends."""
    once, rest = Once(), b""
    while True:
        if not select.select([source], [], [], QUIET)[0]:
            write(target, once.complete(time.monotonic()) + rest)
            rest = b""
            select.select([source], [], [])
        chunk = os.read(source, CHUNK)
        if not chunk:
            write(target, once.end(time.monotonic()) + rest)
            return
        *lines, rest = (rest + chunk).split(b"\n")
        now = time.monotonic()
        write(target, b"".join(once.take(line + b"\n", now) for line in lines))


def write(target: int, text: bytes) -> None:
    """Write all of a text."""
    while text:
        text = text[os.write(target, text) :]


if __name__ == "__main__":
    copy(0, 1)
