"""Options of the commands that measure a release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmn.app.plan_request import NETWORKS
from vmn.cli.workload import POSITIVE

if TYPE_CHECKING:
    from vmn.core.bench.points import Point

COUNT = click.IntRange(min=1)
PRESETS = ("chat", "long-prompts", "long-answers", "batch")
"""The presets of ``core.bench.points``, which help does not import."""
KINDS_SAID = (
    "chat (1024 prompt and 256 answer tokens, at a concurrency of 1, 8, 32, and 128), long-prompts (8192 and 256, at "
    "1, 4, 16, and 32), long-answers (512 and 2048, at 1, 8, 32, and 128), or batch (512 and 128, at 256)"
)
REQUESTS = "Number of requests in each measurement.  [default: 4 times --concurrency{rates}, but at least 8]"
SIZES = (
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default="chat",
        show_default=True,
        help=f"Kind of requests: {KINDS_SAID}.",
    ),
    click.option("--prompt-tokens", type=COUNT, help="Number of tokens in each prompt.  [default: from --preset]"),
    click.option("--answer-tokens", type=COUNT, help="Number of tokens in each answer.  [default: from --preset]"),
)
RATE = (
    "Send this many requests per second, at random times, instead of keeping a fixed number of requests running. "
    "Repeat this option for a sweep."
)
PREFIX = (
    "Number of tokens at the beginning of each prompt that are the same in all prompts, so that they are in the prefix "
    "cache.  [default: none]"
)
PREDICTION = (
    click.option("--gpu", metavar="NAME", help="Type of GPU.  [default: from the labels of the nodes]"),
    click.option(
        "--config",
        type=click.Path(exists=True, path_type=Path),
        help="The config.json of a model that vmn doesn't know.",
    ),
    click.option(
        "--network", type=click.Choice(NETWORKS), default="tcp", show_default=True, help="Network between the nodes."
    ),
)

Decorator = Callable[[Any], Any]


def request_options(*, sweep: bool, repeats: int, repeated: str, limit: str) -> Decorator:
    """Add RELEASE, and the options that say which requests are sent, how often, and for how long at most.

    Args:
        sweep: whether --concurrency can be repeated.
        repeats: the default of --repeats.
        repeated: what is repeated, for the help.
        limit: what --timeout limits, for the help.
    """
    concurrency = "Number of requests that are kept running.  [default: the highest concurrency of --preset]"
    more: tuple[Decorator, ...] = ()
    requests = REQUESTS.format(rates=", or a minute's worth at --rate" if sweep else "")
    if sweep:
        concurrency = (
            "Number of requests that are kept running, or, with --rate, the most that run at once. Repeat this option "
            "for a sweep.  [default: from --preset, or, with --rate, no limit]"
        )
        more = (
            click.option("--rate", type=POSITIVE, multiple=True, help=RATE),
            click.option("--prefix-tokens", type=COUNT, help=PREFIX),
        )
    own = (
        click.argument("release", default="vllm"),
        *SIZES,
        click.option("--requests", type=COUNT, help=requests),
        click.option("--concurrency", type=COUNT, multiple=sweep, help=concurrency),
        *more,
        click.option(
            "--repeats", type=COUNT, default=repeats, show_default=True, help=f"Number of times to measure {repeated}."
        ),
        click.option(
            "--timeout",
            type=click.IntRange(min=30),
            default=1800,
            show_default=True,
            help=f"Maximum time {limit}, in seconds.",
        ),
    )
    return lambda command: _with(own, command)


def points_of(options: dict[str, Any], concurrency: tuple[int, ...]) -> list[Point]:
    """Return what these options measure, at some numbers of requests that are kept running; the preset's if empty.

    Raises:
        click.UsageError: options exclude each other.
    """
    from vmn.core.bench.points import PRESETS as KINDS
    from vmn.core.bench.points import points

    kind = KINDS[options["preset"]]
    sizes, rates = (options["prompt_tokens"], options["answer_tokens"]), options.get("rate", ())
    prefix, prompt = options.get("prefix_tokens") or 0, options["prompt_tokens"] or kind.prompt
    if prefix >= prompt:
        raise click.UsageError(
            f"--prefix-tokens must leave some of the {prompt} prompt tokens for what differs (got {prefix}). Use "
            "fewer, or raise --prompt-tokens."
        )
    if rates and len(concurrency) > 1:
        given = ", ".join(map(str, concurrency))
        raise click.UsageError(
            f"--concurrency is the most requests at once with --rate, and there can be only one (got {given}). Give "
            "one, or none for no limit."
        )
    return points(kind, *sizes, concurrency, options["requests"], options["repeats"], rates, prefix)


def prediction_options(command: Any) -> Any:
    """Add the options that a prediction of a release needs."""
    return _with(PREDICTION, command)


def _with(options: Sequence[Decorator], command: Any) -> Any:
    for option in reversed(options):
        command = option(command)
    return command
