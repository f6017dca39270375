"""Options that describe a workload, for the commands that predict or measure speed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from vmn.core.speed.workload import Workload

P = ParamSpec("P")
R = TypeVar("R")
COUNT = click.IntRange(min=1)


class Finite(click.FloatRange):
    """A range of numbers without "infinite" and "not a number", which compare as if they were inside."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number.

        Raises:
            click.BadParameter: it is not finite, or outside the range.
        """
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


POSITIVE = Finite(0, min_open=True)
SHARE = Finite(0, 1)
NAMES = (
    "prompt_tokens",
    "answer_tokens",
    "requests",
    "concurrency",
    "rate",
    "ttft",
    "tpot",
    "prefix_hits",
    "speculative_tokens",
    "acceptance_rate",
)
"""Names of the options, for a heading of the help."""
OPTIONS = (
    click.option("--prompt-tokens", type=COUNT, help="Number of tokens in each prompt."),
    click.option("--answer-tokens", type=COUNT, help="Number of tokens in each answer."),
    click.option("--requests", type=COUNT, help="Number of requests in one burst, instead of --concurrency or --rate."),
    click.option("--concurrency", type=COUNT, help="Number of requests that are kept running."),
    click.option("--rate", type=POSITIVE, help="Requests per second."),
    click.option("--ttft", type=POSITIVE, metavar="SECONDS", help="Target for the time to the first token."),
    click.option("--tpot", type=POSITIVE, metavar="SECONDS", help="Target for the time per token after the first."),
    click.option("--prefix-hits", type=SHARE, default=0.0, help="Share of each prompt that the prefix cache holds."),
    click.option(
        "--speculative-tokens",
        type=click.IntRange(0),
        default=0,
        help="Predict the speed as if multi-token prediction drafted this many tokens in each step.",
    ),
    click.option("--acceptance-rate", type=SHARE, default=0.0, help="Share of the drafted tokens that are accepted."),
)


def workload_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add the options of a workload, and pass it as ``workload``: None if no option is given."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {name: kwargs.pop(name) for name in NAMES}
        kwargs["workload"] = _workload(given)
        return command(*args, **kwargs)

    result: Callable[..., R] = wrapped
    for option in reversed(OPTIONS):
        result = option(result)
    return result


def _workload(given: dict[str, Any]) -> Workload | None:
    """Return the workload, None without any option.

    Raises:
        click.UsageError: options are missing, or exclude each other.
    """
    if not any(given.values()):
        return None
    from vmn.core.speed.workload import Workload

    ways = [name for name in ("requests", "concurrency", "rate") if given[name] is not None]
    if given["prompt_tokens"] is None or given["answer_tokens"] is None or len(ways) != 1:
        raise click.UsageError(
            "A workload needs --prompt-tokens, --answer-tokens, and one of --requests, --concurrency, and --rate."
        )
    if given["acceptance_rate"] and not given["speculative_tokens"]:
        raise click.UsageError("--acceptance-rate needs --speculative-tokens.")
    return Workload(
        prompt=given["prompt_tokens"],
        answer=given["answer_tokens"],
        requests=given["requests"],
        concurrency=given["concurrency"],
        rate=given["rate"],
        ttft=given["ttft"],
        tpot=given["tpot"],
        cached=given["prefix_hits"],
        drafts=given["speculative_tokens"],
        acceptance=given["acceptance_rate"],
    )


def workload_words(workload: Workload) -> list[str]:
    """Return the options that describe a workload."""
    given = {
        "prompt-tokens": workload.prompt,
        "answer-tokens": workload.answer,
        "requests": workload.requests,
        "concurrency": workload.concurrency,
        "rate": workload.rate,
        "ttft": workload.ttft,
        "tpot": workload.tpot,
        "prefix-hits": workload.cached or None,
        "speculative-tokens": workload.drafts or None,
        "acceptance-rate": workload.acceptance or None,
    }
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
