"""Faults in a row at random moments, for groups whose engines restart in place: the same ones for the same seed."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

SEED = int(os.environ.get("RANDOM_FAULTS_SEED", "38"))
"""Another seed gives other faults."""


class Moment(Enum):
    """What the group does when a fault comes."""

    SERVING = "while it serves"
    RESTARTING = "while it restarts"
    DRAINING = "while it drains"


@dataclass(frozen=True)
class Strike:
    """A process that a fault kills or freezes.

    Attributes:
        pod: rank of its pod.
        process: which one, as the test calls it.
    """

    pod: int
    process: str


@dataclass(frozen=True)
class RandomFault:
    """A fault.

    Attributes:
        moment: what the group does then.
        strikes: processes that are struck at the same moment. With ``RESTARTING``, the first one makes it restart,
            and the second one is struck after ``delay``.
        delay: seconds until then, from the time that the group serves, restarts, or drains.
        freezes: whether the process stops instead of ending.
    """

    moment: Moment
    strikes: tuple[Strike, ...]
    delay: float
    freezes: bool = False

    def __str__(self) -> str:
        """Say what is done."""
        verb = "freeze" if self.freezes else "kill"
        what = " and ".join(f"{strike.process} of pod {strike.pod}" for strike in self.strikes)
        return f"{verb} {what}, {self.moment.value}, {self.delay:.2f} s"


@dataclass(frozen=True)
class Struck:
    """What can be struck.

    Attributes:
        engine: processes whose end makes the group restart in place.
        freezable: those of them that may stop instead, as the group finds out while it answers requests.
        others: processes whose end ends a pod.
        longest: seconds from the beginning of a restart or of a drain within which faults come.
    """

    engine: Sequence[Strike]
    freezable: Sequence[Strike]
    others: Sequence[Strike]
    longest: float


def random_faults(count: int, struck: Struck, seed: int = SEED) -> list[RandomFault]:
    """Return so many faults: a fifth of them during a drain, and three tenths during a restart in place."""
    chance = random.Random(seed)
    every = (*struck.engine, *struck.others)
    draining, restarting = count // 5, count * 3 // 10
    strikes: list[tuple[Moment, tuple[Strike, ...]]] = [
        (Moment.DRAINING, (chance.choice(every),)) for _ in range(draining)
    ]
    for _ in range(restarting):
        strikes.append((Moment.RESTARTING, (chance.choice(struck.engine), chance.choice(every))))
    strikes.append((Moment.SERVING, tuple(chance.sample(struck.engine, 2))))
    strikes += [(Moment.SERVING, (chance.choice(every),)) for _ in range(count - draining - restarting - 2)]
    faults = [RandomFault(moment, who, chance.uniform(0, struck.longest)) for moment, who in strikes]
    frozen = (chance.choice(struck.freezable),)
    faults.append(RandomFault(Moment.SERVING, frozen, chance.uniform(0, struck.longest), freezes=True))
    chance.shuffle(faults)
    return faults
