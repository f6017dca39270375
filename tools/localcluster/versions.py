"""Which versions of its programs a cluster has: those of ``go.mod``, or another set, which is chosen by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.chosen import of_the_environment

VARIABLE = "LOCALCLUSTER_VERSIONS"
"""Names the set for a process and all that it starts; unset or empty, the versions of ``go.mod``."""


@dataclass(frozen=True)
class Versions:
    """A set of versions.

    Attributes:
        name: a Go module with a file ``NAME.mod`` beside ``go.mod`` is built with its pins, any other with its own.
        instead: program -> the program that takes its place.
    """

    name: str
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def make_option(self) -> str:
        """Return what chooses this set when it follows a target of the Makefile, nothing for those of ``go.mod``."""
        return f" VERSIONS={self.name}" if self.name else ""

    def pins(self, folder: Path) -> Path:
        """Return the file with the versions of a Go module, by its directory."""
        other = folder / f"{self.name}.mod"
        return other if self.name and other.exists() else folder / "go.mod"

    def sums(self, folder: Path) -> Path:
        """Return the file with the checksums of a Go module, by its directory."""
        return self.pins(folder).with_suffix(".sum")

    def flags(self, folder: Path) -> str:
        """Return ``GOFLAGS`` that let Go read the pins of a Go module, and leave them as they are."""
        pins = self.pins(folder).name
        return "-mod=readonly" + ("" if pins == "go.mod" else f" -modfile={pins}")


SETS: Mapping[str, Versions] = {
    one.name: one
    for one in (
        Versions(""),
        Versions("newest"),
        Versions("helm3", {"helm": "helm3"}),
    )
}


def named(name: str) -> Versions:
    """Return a set by its name.

    Raises:
        LookupError: there is none of this name.
    """
    if name not in SETS:
        raise LookupError(f"{VARIABLE}={name}: no such versions; there are {', '.join(filter(None, SETS))}")
    return SETS[name]


CHOSEN = of_the_environment(VARIABLE, named)
