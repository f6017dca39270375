"""What a run does: scenarios, each with a group and steps, within a time for all."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class OutOfTime(Exception):  # noqa: N818 - reads as what happened
    """The time for a step, a scenario, or the whole run is over."""


@dataclass(frozen=True)
class Step:
    """A step: a verb, words, and settings, written as ``bench 32x512x128 times=2``."""

    text: str
    verb: str
    words: Sequence[str]
    settings: Mapping[str, str]

    @classmethod
    def read(cls, text: str) -> Step:
        """Read a step.

        Raises:
            ValueError: it is empty, or a quotation mark is missing.
        """
        verb, *rest = shlex.split(text)
        settings = dict(word.split("=", 1) for word in rest if "=" in word)
        return cls(text, verb, [word for word in rest if "=" not in word], settings)

    def number(self, name: str, default: float) -> float:
        """Return a setting as a number."""
        return float(self.settings.get(name, default))

    def load(self, default: str = "") -> tuple[int, int, int]:
        """Return requests, prompt tokens, and answer tokens of a word such as ``32x512x128``.

        Raises:
            ValueError: the step has no such word.
        """
        word = next((word for word in self.words if word.count("x") == 2), default)
        if not word:
            raise ValueError(f"{self.text!r} needs a word such as 32x512x128: requests, prompt tokens, answer tokens")
        requests, prompt, answer = map(int, word.split("x"))
        return requests, prompt, answer


@dataclass(frozen=True)
class Scenario:
    """A group, and what is done with it.

    Attributes:
        name: of the scenario.
        group: name of the rendered group.
        steps: in order.
        limit: seconds for all of them.
        caches: name of the caches of its nodes; scenarios with the same name share them.
        env: role -> variables for that role's pods, as if their image had them.
        gpus: role -> GPUs that the pod sees, instead of its own.
    """

    name: str
    group: str
    steps: Sequence[Step]
    limit: float
    caches: str
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpus: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Scenario:
        """Read a scenario of a plan.

        Raises:
            KeyError: something is missing.
            ValueError: a step can't be read.
        """
        group = entry["group"]
        return cls(
            name=entry.get("name", group),
            group=group,
            steps=[Step.read(text) for text in entry["steps"]],
            limit=float(entry.get("limit", 600)),
            caches=entry.get("caches", group),
            env=entry.get("env", {}),
            gpus=entry.get("gpus", {}),
        )


def read_plan(file: Path) -> list[Scenario]:
    """Read a plan: a JSON list of scenarios.

    Raises:
        OSError: it can't be read.
        ValueError: it is not a plan.
    """
    try:
        return [Scenario.read(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} is not a plan: {error!r} is missing in a scenario") from error


@dataclass(frozen=True)
class Clock:
    """The time until something must be over, in seconds of the monotonic clock."""

    until: float

    def within(self, seconds: float) -> Clock:
        """Return a clock for a part of it."""
        return Clock(min(self.until, time.monotonic() + seconds))

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def check(self, what: str) -> None:
        """Go on only if time is left.

        Raises:
            OutOfTime: none is.
        """
        if self.left <= 0:
            raise OutOfTime(f"no time is left for {what}")
