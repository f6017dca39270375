"""Kubernetes' timestamps as seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def seconds(stamp: str | None) -> float | None:
    """Return a timestamp in seconds since 1970, None when the text does not begin with one."""
    found = STAMP.match(stamp or "")
    return datetime.fromisoformat(found[0]).timestamp() if found else None


def clock(at: float) -> str:
    """Return the time of day in UTC, as logs of Kubernetes have it."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def date_of(at: float) -> str:
    """Return the date and the time of day in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def earliest(times: Iterable[float | None]) -> float:
    """Return the first of some times; unknown ones count as the last."""
    return min((at for at in times if at is not None), default=float("inf"))
