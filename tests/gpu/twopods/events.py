"""Events, as the API server has them."""

from __future__ import annotations

from dataclasses import dataclass

from gpu.twopods.log import wall

NORMAL = ("Scheduled", "Pulled", "Created", "Started", "Killing", "RecreateGroup")
"""Reasons of events that are not warnings."""


@dataclass
class Event:
    """An event of a pod, as often as it came."""

    reason: str
    message: str
    first: float
    last: float
    count: int = 1

    def item(self, kind: str, name: str, uid: str) -> dict[str, object]:
        """Return it as an object of Kubernetes, about another object."""
        return {
            "reason": self.reason,
            "message": self.message,
            "type": "Normal" if self.reason in NORMAL else "Warning",
            "count": self.count,
            "firstTimestamp": wall(self.first)[:19] + "Z",
            "lastTimestamp": wall(self.last)[:19] + "Z",
            "involvedObject": {"kind": kind, "name": name, "uid": uid},
            "metadata": {"name": f"{name}.{int(self.first * 1000):x}"},
        }
