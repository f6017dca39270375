"""``vmn plan``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import click

from vmn.app.plan_request import KV_DTYPES, NETWORKS, PlanRequest
from vmn.cli.options import FILE, FINDINGS, NEW_FILE, Command, ends_with_status, note, output_option, use_color
from vmn.cli.workload import NAMES as WORKLOAD
from vmn.cli.workload import workload_options

if TYPE_CHECKING:
    from vmn.app.planner import Plan
    from vmn.core.speed.workload import Workload

P = ParamSpec("P")
R = TypeVar("R")
COUNT = click.IntRange(min=1)
DEFAULT = {item.name: item.default for item in fields(PlanRequest)}

GROUPS = {
    "Model": ("config", "hub"),
    "Hardware": ("gpu", "gpu_memory", "nodes", "gpus_per_node", "network", "force", "load_gbps"),
    "Layout": ("tensor", "pipeline", "data", "expert", "decode_context"),
    "vLLM": (
        "max_model_len",
        "gpu_memory_utilization",
        "max_num_batched_tokens",
        "max_num_seqs",
        "kv_cache_dtype",
        "enforce_eager",
        "quantization",
        "speculative_config",
        "kv_offloading_per_gpu",
        "vllm_version",
        "env",
    ),
    "Workload": (*WORKLOAD, "calibrate_speed"),
    "Startup logs": ("calibrate", "check"),
}
"""Headings of the help, and the options under them."""
OPTIONS = (
    click.argument("model", required=False),
    click.option(
        "--config",
        type=click.Path(exists=True, path_type=Path),
        help="A model's config.json, or a directory that contains it.",
    ),
    click.option(
        "--hub", is_flag=True, help="Fetch MODEL's configuration and exact weight sizes from the Hugging Face Hub."
    ),
    click.option("--gpu", required=True, metavar="NAME", help="Type of GPU: h100, h200, b200, a100, l40s, mi300x, …"),
    click.option(
        "--gpu-memory",
        type=click.FloatRange(0, min_open=True),
        metavar="GIB",
        help="Memory of each GPU, in GiB. Set it for a type of GPU that vmn doesn't know.",
    ),
    click.option(
        "--nodes",
        type=COUNT,
        default=DEFAULT["nodes"],
        show_default=True,
        help="Number of nodes in a group, that is, in one replica of the LeaderWorkerSet.",
    ),
    click.option(
        "--gpus-per-node",
        type=COUNT,
        default=DEFAULT["gpus_per_node"],
        show_default=True,
        help="Number of GPUs per node.",
    ),
    click.option(
        "--network",
        type=click.Choice(NETWORKS),
        default=DEFAULT["network"],
        show_default=True,
        help="Network between the nodes.",
    ),
    click.option("--force", is_flag=True, help="Allow tensor parallelism across nodes over TCP."),
    click.option("--tensor", type=COUNT, help="Tensor parallel size: number of GPUs that share each layer."),
    click.option(
        "--pipeline", type=COUNT, help="Pipeline parallel size: number of stages that the layers are divided into."
    ),
    click.option("--data", type=COUNT, help="Data parallel size: number of data-parallel replicas."),
    click.option(
        "--expert/--no-expert",
        default=None,
        help="Plan only layouts with expert parallelism, or only layouts without it.",
    ),
    click.option(
        "--decode-context",
        type=COUNT,
        help="Decode context parallel size: number of GPUs that the tokens of the KV cache are divided among.",
    ),
    click.option(
        "--max-model-len",
        type=COUNT,
        help="Maximum number of tokens in the prompt and the response combined.  [default: the model's own limit]",
    ),
    click.option(
        "--gpu-memory-utilization",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of each GPU's memory that vLLM may use.  [default: vLLM's default]",
    ),
    click.option(
        "--max-num-batched-tokens",
        type=COUNT,
        help="Maximum number of tokens per step.  [default: vLLM's default for the GPU]",
    ),
    click.option(
        "--max-num-seqs",
        type=COUNT,
        help="Maximum number of requests per step.  [default: vLLM's default for the GPU]",
    ),
    click.option(
        "--kv-cache-dtype",
        type=click.Choice(KV_DTYPES),
        default=DEFAULT["kv_cache_dtype"],
        show_default=True,
        help="Data type of the KV cache.",
    ),
    click.option("--enforce-eager", is_flag=True, help="Run without CUDA graphs."),
    click.option(
        "--quantization",
        metavar="METHOD",
        help="Quantize the weights while loading them, for example with fp8_per_tensor.",
    ),
    click.option(
        "--speculative-config",
        metavar="JSON",
        help="Use speculative decoding with the draft layers that are part of the model, for example with "
        '\'{"method": "mtp", "num_speculative_tokens": 1}\'.',
    ),
    click.option(
        "--kv-offloading-per-gpu",
        type=click.FloatRange(1),
        metavar="GIB",
        help="Host memory per GPU to which vLLM offloads the KV cache, in GiB (kvCache.offloadingSizePerGpu).",
    ),
    click.option(
        "--vllm-version", metavar="X.Y.Z", help="Version of vLLM to plan for.  [default: the newest known version]"
    ),
    click.option(
        "--env",
        multiple=True,
        metavar="NAME=VALUE",
        help="Environment variable of vLLM that changes the plan (engine.env), such as VLLM_USE_FLASHINFER_SAMPLER=0. "
        "You can repeat this option.",
    ),
)


def request_options(command: Callable[Concatenate[PlanRequest, P], R]) -> Callable[..., R]:
    """Add the options of a request, and pass the request as the first argument."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {item.name: kwargs.pop(item.name) for item in fields(PlanRequest)}
        return command(PlanRequest(**given), *args, **kwargs)

    result: Callable[..., R] = wrapped
    for option in reversed(OPTIONS):
        result = option(result)
    return result


@click.command(
    cls=Command,
    short_help="Show which layouts of a model fit on the given GPUs.",
    example="vmn plan deepseek-ai/DeepSeek-R1 --gpu h100 --nodes 2",
    groups=GROUPS,
)
@request_options
@workload_options
@click.option(
    "--calibrate",
    type=FILE,
    metavar="LOG",
    help="Correct the plan with a startup log of the same model on the same type of GPU.",
)
@click.option(
    "--calibrate-speed",
    type=FILE,
    metavar="FILE",
    help="Correct the predicted speed with measurements, such as a report that `vmn bench` wrote.",
)
@click.option("--check", type=FILE, metavar="LOG", help="Only report where a startup log contradicts the plan.")
@click.option(
    "--all", "everything", is_flag=True, envvar="VMN_PLAN_ALL", help="Show all layouts instead of only the best ten."
)
@click.option(
    "--explain", is_flag=True, help="Show a memory breakdown of the best layout, for a GPU in each pipeline stage."
)
@click.option(
    "--plot",
    type=NEW_FILE,
    metavar="FILE.svg",
    help="Draw the memory breakdown of the best layout as an SVG file.",
)
@output_option
@ends_with_status
def plan(
    request: PlanRequest,
    workload: Workload | None,
    calibrate: Path | None,
    calibrate_speed: Path | None,
    check: Path | None,
    everything: bool,
    explain: bool,
    plot: Path | None,
    output: str,
) -> None:
    """Show which layouts of MODEL fit on the given GPUs, and how much context each allows.

    For the best layout, the command also predicts what vLLM will log about memory, so that you can compare the
    prediction with the actual log.

    MODEL is the name of a built-in model, such as deepseek-ai/DeepSeek-R1, or, with --hub, of any model on the Hugging
    Face Hub. For other models, use --config. Only --hub needs network access. The exit status is 1 if no layout
    fits.

    With --prompt-tokens and --answer-tokens, the command also predicts the speed of each layout, and lists the
    fastest first.

    If you set --tensor, --pipeline, or --data, the plan contains a single layout, for which the command derives the
    sizes that you leave out.

    For --calibrate and --check, LOG is a file with vLLM's log, as printed by `kubectl logs`. With --check, the command
    takes the layout and the flags from the log, computes the plan for them, and compares it with the log. The exit
    status is 1 if sizes in the log contradict the plan.
    """
    from vmn.app import planner

    if calibrate_speed and not workload:
        raise click.UsageError("--calibrate-speed needs a workload, such as --prompt-tokens and --answer-tokens.")
    if plot and plot.suffix.lower() != ".svg":
        raise click.BadParameter(f"{plot.name} must end with .svg.", param_hint="--plot")
    try:
        if check:
            _print_contradictions(planner.contradictions(request, check), check)
        found = planner.plan(request, calibrate)
        if workload:
            from vmn.app.plan_speed import with_speed

            found = with_speed(found, workload, calibrate_speed)
    except planner.PlanError as error:
        raise click.UsageError(str(error)) from error
    for comparison in found.comparisons:
        note(f"vmn: {'' if comparison.is_inside else 'outside the band: '}{comparison}")
    if plot:
        _draw(found, plot)
    click.echo(_shown(found, output, explain, everything))
    sys.exit(0 if found.fits else FINDINGS)


def _print_contradictions(found: list[str], log: Path) -> NoReturn:
    click.echo("\n".join(found) or f"{log.name} agrees with the prediction.")
    sys.exit(FINDINGS if found else 0)


def _shown(found: Plan, output: str, explain: bool, everything: bool) -> str:
    if output == "json":
        from vmn.report.plan_json import as_json

        return as_json(found)
    if explain:
        from vmn.report.plan_explain import explanation

        return explanation(found)
    if found.workload:
        from vmn.report.plan_speed import text as speed_text

        return speed_text(found, found.workload, everything=everything, color=use_color())
    from vmn.report.plan import text

    return text(found, everything=everything, color=use_color())


def _draw(found: Plan, file: Path) -> None:
    from vmn.report.plan_plot import svg

    if found.best.rejected:
        note(f"vmn: {file} was not written, because the layout is refused.")
        return
    file.write_text(svg(found), encoding="utf-8")
    note(f"vmn: wrote {file}")
