"""``vmn generate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmn.app.plan_request import PlanRequest
from vmn.cli.options import FINDINGS, NEW_FILE, Command, chart_option, ends_with_status, note
from vmn.cli.plan import GROUPS, request_options
from vmn.cli.workload import workload_options, workload_words

if TYPE_CHECKING:
    from vmn.core.speed.workload import Workload

BALANCERS = ("internal", "hybrid", "external")
"""The choices of ``parallelism.dataLoadBalancer``."""
GOALS = ("throughput", "latency", "context")
"""The goals of ``core.speed.choice``, which help does not import."""


@click.command(
    cls=Command,
    short_help="Write a values file for the best layout of a model.",
    example="vmn generate deepseek-ai/DeepSeek-R1 --gpu h100 --nodes 2 --write my-values.yaml",
    groups={
        **GROUPS,
        "Layout": (*GROUPS["Layout"], "data_load_balancer"),
        "Workload": ("goal", *GROUPS["Workload"]),
    },
)
@request_options
@click.option("--for", "goal", type=click.Choice(GOALS), help="What to optimize the layout and the flags for.")
@workload_options
@click.option(
    "--load-gbps",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Download bandwidth of each node, in Gbit/s. The time that the values file allows for startup depends on it.",
)
@click.option(
    "--data-load-balancer",
    type=click.Choice(BALANCERS),
    default=BALANCERS[0],
    show_default=True,
    help="Mode of load balancing across the data-parallel replicas. hybrid and external need data parallelism.",
)
@click.option("-w", "--write", "file", type=NEW_FILE, metavar="FILE", help="File to write.  [default: standard output]")
@chart_option
@ends_with_status
def generate(
    request: PlanRequest,
    goal: str | None,
    workload: Workload | None,
    load_gbps: float,
    data_load_balancer: str,
    file: Path | None,
    chart: Path | None,
) -> None:
    """Write a values file for the best layout of MODEL on the given GPUs.

    MODEL is the name of a built-in model, such as deepseek-ai/DeepSeek-R1, or, with --hub, of any model on the Hugging
    Face Hub. For other models, use --config.

    With --for and a workload, the command chooses the layout and the vLLM flags that are predicted to serve the
    workload best: with the most tokens per second, with the lowest latency, or with the most context.

    The file contains only values that differ from the chart's defaults, with comments that explain them. The exit
    status is 1 if no layout fits.
    """
    from vmn.app.planner import PlanError
    from vmn.app.values_file import Goal, values_file

    if (goal is None) != (workload is None):
        raise click.UsageError("--for and a workload, such as --prompt-tokens and --answer-tokens, need each other.")
    aim = Goal(goal, workload, ["--for", goal, *workload_words(workload)]) if goal and workload else None
    try:
        text = values_file(request, load_gbps, chart, aim, data_load_balancer)
    except PlanError as error:
        raise click.UsageError(str(error)) from error
    if text is None:
        note("vmn: no layout fits, so no file was written. Run `vmn plan` with the same options to see why.")
        sys.exit(FINDINGS)
    if file:
        file.write_text(text, encoding="utf-8")
        note(f"vmn: wrote {file}")
    else:
        click.echo(text, nl=False)
