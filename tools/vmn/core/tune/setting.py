"""A setting that is tried: vLLM's flags, the values that set them, and what the plan expects."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.values_file import describe
from vmn.core.speed.workload import Speed
from vmn.core.values.yaml import ValuesError, parse_yaml

NOW = "what runs now"
"""Name of the setting that the release has."""


class SettingError(Exception):
    """Words of the command line are not a setting; the message says why."""


@dataclass(frozen=True)
class TunedSetting:
    """Flags of vLLM that differ from those of the release.

    Attributes:
        flags: vLLM's flags without dashes, and their values; empty for what runs now.
        reason: why it is tried.
        predicted: what the plan expects of a group, None without a prediction.
        gain: expected gain over what runs now as a share, None without a prediction.
        layout: another layout, None for the present one.
    """

    flags: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    predicted: Speed | None = None
    gain: float | None = None
    layout: Layout | None = None

    @property
    def name(self) -> str:
        """The flags as a person would type them."""
        words = [f"{flag}={_shown(value)}" for flag, value in self.flags.items()]
        words += [f"layout: {describe(self.layout)}"] if self.layout else []
        return " ".join(words) or NOW

    @property
    def values(self) -> dict[str, object]:
        """What a values file needs for it."""
        own: dict[str, object] = {"parallelism": _sizes(self.layout)} if self.layout else {}
        return {**own, **({"engine": {"args": dict(self.flags)}} if self.flags else {})}


def _sizes(layout: Layout) -> dict[str, object]:
    return {
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
        "expert": layout.expert,
        "decodeContext": layout.decode_context if layout.decode_context > 1 else None,
    }


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def setting_of(words: str) -> TunedSetting:
    """Return the setting of words such as ``max-num-seqs=64 max-num-batched-tokens=4096``.

    Raises:
        SettingError: a word is not FLAG=VALUE, or a flag is given twice.
    """
    flags: dict[str, object] = {}
    for word in _words(words):
        flag, equals, text = word.lstrip("-").partition("=")
        if not flag or not equals or not text:
            raise SettingError(f"{word!r} is not FLAG=VALUE, such as max-num-seqs=64.")
        if flag in flags:
            raise SettingError(f"{flag} is given twice in one setting. Repeat the option to try both values.")
        try:
            flags[flag] = parse_yaml(text)
        except ValuesError as error:
            raise SettingError(f"The value of {flag} {error.reason}.") from error
    if not flags:
        raise SettingError("A setting needs at least one FLAG=VALUE.")
    return TunedSetting(flags, "you asked for it")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SettingError(f"{text!r} can't be read: {error}.") from error
