"""Events in one form, whichever API created them."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import seconds


@dataclass(frozen=True)
class Event:
    """One event, in one form whatever API made it.

    Attributes:
        kind: of the object.
        name: of the object.
        uid: of the object.
        reason: such as ``FailedMount``.
        message: what it says.
        first: when it was seen first, in seconds since 1970.
        last: when it was seen last.
        count: how often.
    """

    kind: str
    name: str
    uid: str
    reason: str
    message: str
    first: float | None
    last: float | None
    count: int


def read_event(item: Object) -> Event:
    """Return an event of either of Kubernetes' two forms."""
    about, series = item.get("involvedObject") or item.get("regarding") or {}, item.get("series") or {}
    once = seconds(item.get("eventTime")) or seconds(item["metadata"].get("creationTimestamp"))
    last = seconds(series.get("lastObservedTime")) or seconds(item.get("lastTimestamp")) or once
    return Event(
        kind=str(about.get("kind", "")),
        name=str(about.get("name", "")),
        uid=str(about.get("uid", "")),
        reason=str(item.get("reason", "")),
        message=str(item.get("message") or item.get("note") or ""),
        first=seconds(item.get("firstTimestamp")) or once,
        last=last,
        count=int(series.get("count") or item.get("count") or 1),
    )
