"""What ``render`` writes and ``run`` reads: the pods of a group, and what belongs to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gpu.twopods.podspec import Object, Pod


@dataclass(frozen=True)
class GroupSpec:
    """A rendered group.

    Attributes:
        name: of the file.
        content: the file.
    """

    name: str
    content: Object

    @classmethod
    def read(cls, file: Path) -> GroupSpec:
        """Read a file.

        Raises:
            OSError: it can't be read.
            ValueError: it is not JSON.
        """
        return cls(file.stem, json.loads(file.read_text(encoding="utf-8")))

    @property
    def pods(self) -> list[Pod]:
        """The pods, the leader first."""
        return [Pod(item, self.content["configMaps"]) for item in self.content["pods"]]

    @property
    def test(self) -> Pod | None:
        """The pod of ``helm test``, None if there is none."""
        item = self.content.get("test")
        return None if item is None else Pod(item, self.content["configMaps"])

    @property
    def model(self) -> str:
        """The name that clients use."""
        return str(self.content["model"])

    @property
    def port(self) -> int:
        """The port of the API in the leader."""
        return int(self.content["port"])
