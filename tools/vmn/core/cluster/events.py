"""Events in one form, whichever API created them."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import seconds


@dataclass(frozen=True)
class Event:
    """An event, in the same form for both of Kubernetes' APIs.

    Attributes:
        kind: kind of the object.
        name: name of the object.
        uid: identifier of the object.
        reason: the reason, such as ``FailedMount``.
        message: the message.
        first: when the event was first seen, in seconds since 1970.
        last: when the event was last seen.
        count: how often the event was seen.
        field: the part of the object that it is about, such as ``spec.initContainers{prepare}``.
    """

    kind: str
    name: str
    uid: str
    reason: str
    message: str
    first: float | None
    last: float | None
    count: int
    field: str = ""


def read_event(item: Object) -> Event:
    """Return an event from either of Kubernetes' two APIs."""
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
        field=str(about.get("fieldPath", "")),
    )
