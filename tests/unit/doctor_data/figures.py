"""How often the doctor is right on public logs of failed starts: ``python -m unit.doctor_data.figures [HALF ...]``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import yaml

from unit.doctor_data.world import UP, World
from vmn.adapters.signatures import load_signatures
from vmn.core.doctor.finding import Finding, Severity
from vmn.core.doctor.signature import Precedence

LOGS = Path(__file__).with_name("public")
SEED = 32
"""Divides the logs into halves, together with their names."""
HALVES = ("learning", "kept")
END = "vllm-multinode: vllm serve ended with exit status 1 after 12 s (served: no); the container ends in 30 s"
"""What the chart's entrypoint.sh logs last; the public logs do not have it."""
NOT_KNOWN = "unknown-error"
STATED = (Precedence.CAUSE, Precedence.GENERIC)
"""Verdicts that name a cause; the others say that something else failed, or that the cause is not known."""


class Outcome(StrEnum):
    """What the doctor's verdict on a log is worth."""

    NAMED = "named"
    """It names the true cause; of a log that does not tell the cause, it names none."""
    QUOTED = "quoted"
    """It says that the cause is not known, and quotes the line that tells it."""
    MISSED = "missed"
    """It names no cause, and quotes another line."""
    WRONG = "wrong"
    """It names another cause."""


@dataclass(frozen=True)
class PublicLog:
    """A public log of a failed start.

    Attributes:
        name: name of the file.
        half: one of HALVES.
        text: the lines.
        cause: what was found to be the cause, a kind of ``kinds.yaml``.
        source: repository and number of the report.
        nodes: ``several`` or ``one``.
    """

    name: str
    half: str
    text: str
    cause: str
    source: str
    nodes: str


@dataclass(frozen=True)
class Kind:
    """A cause.

    Attributes:
        signatures: signatures that name it.
        telling: words of the line that tells it.
    """

    signatures: Sequence[str]
    telling: re.Pattern[str]


def half_of(name: str) -> str:
    """Return the half that chance gives to a log."""
    return HALVES[int(sha256(f"{SEED} {name}".encode()).hexdigest(), 16) % 2]


def public_logs(half: str) -> Iterator[PublicLog]:
    """Yield the logs of a half."""
    folder = LOGS / half
    for entry in yaml.safe_load((folder / "labels.yaml").read_text(encoding="utf-8")):
        text = (folder / f"{entry['log']}.log").read_text(encoding="utf-8")
        yield PublicLog(entry["log"], half, text, entry["cause"], entry["source"], entry["nodes"])


def kinds() -> Mapping[str, Kind]:
    """Return the causes by name."""
    found = yaml.safe_load((LOGS / "kinds.yaml").read_text(encoding="utf-8"))
    return {name: Kind(entry["signatures"], re.compile(entry["telling"])) for name, entry in found.items()}


def verdict(log: PublicLog) -> Finding | None:
    """Return what the doctor says first about a release whose leader ended with a log; None when it says nothing."""
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", log.text, END)
    world.log("vllm-0-1", UP[0])
    found = world.say().findings
    return next((item for item in found if item.severity is not Severity.NOTE), None)


def outcome(log: PublicLog, found: Finding | None) -> Outcome:
    """Return what a verdict on a log is worth."""
    kind = kinds()[log.cause]
    if found is None:
        return Outcome.MISSED
    if found.id in kind.signatures:
        return Outcome.NAMED
    if found.id == NOT_KNOWN and any(kind.telling.search(line.line) for line in found.evidence):
        return Outcome.QUOTED
    precedence = next(item.precedence for item in load_signatures() if item.id == found.id)
    return Outcome.WRONG if precedence in STATED else Outcome.MISSED


def counted(half: str) -> dict[Outcome, int]:
    """Return how often each outcome occurs in a half."""
    found = [outcome(log, verdict(log)) for log in public_logs(half)]
    return {item: found.count(item) for item in Outcome}


def table(halves: Sequence[str] = HALVES) -> str:
    """Return the figures as a table: for each half the number of logs, and the outcomes with their shares."""
    head = "| Half | Logs | Cause first | Named | Quoted | Wrong cause stated |\n| --- | --- | --- | --- | --- | --- |"
    return "\n".join([head, *map(_row, halves)])


def _row(half: str) -> str:
    found = counted(half)
    total = sum(found.values())
    named, quoted, wrong = found[Outcome.NAMED], found[Outcome.QUOTED], found[Outcome.WRONG]
    first = f"{named + quoted} ({100 * (named + quoted) / total:.0f} %)"
    return f"| {half} | {total} | {first} | {named} | {quoted} | {wrong} ({100 * wrong / total:.0f} %) |"


def main(halves: Sequence[str]) -> None:
    """Print the figures; of the learning half, also each log whose cause is not named."""
    print(table(halves or HALVES))
    for half in halves or HALVES:
        if half == "learning":
            for log in public_logs(half):
                found = verdict(log)
                worth = outcome(log, found)
                if worth is not Outcome.NAMED:
                    print(f"  {worth}: {log.name} ({log.cause}): {found.id if found else None}")


if __name__ == "__main__":
    main(sys.argv[1:])
