"""``vmn plan``."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import click

from vmn.cli.options import FILE, FINDINGS, ends_with_status, note, output_option
from vmn.cli.startup_log import calibrated, contradictions

if TYPE_CHECKING:
    from vmn.adapters.models import Model
    from vmn.core.planning.prediction import PlanContext, VllmOptions
    from vmn.report.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")
NETWORKS = ("tcp", "roce", "infiniband", "nvlink")
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
COUNT = click.IntRange(min=1)


@dataclass(frozen=True)
class Asked:
    """What ``question_options`` read, under vLLM's own names."""

    model: str | None
    config: Path | None
    hub: bool
    gpu: str
    nodes: int
    gpus_per_node: int
    network: str
    force: bool
    tensor: int | None
    pipeline: int | None
    data: int | None
    expert: bool | None
    decode_context: int | None
    max_model_len: int | None
    gpu_memory_utilization: float | None
    max_num_batched_tokens: int | None
    max_num_seqs: int | None
    kv_cache_dtype: str
    enforce_eager: bool
    quantization: str | None
    vllm_version: str | None


OPTIONS = (
    click.argument("model", required=False),
    click.option(
        "--config", type=click.Path(exists=True, path_type=Path), help="A config.json, or a checkpoint's folder."
    ),
    click.option("--hub", is_flag=True, help="Read MODEL's shapes and exact weights from the Hugging Face Hub."),
    click.option("--gpu", required=True, metavar="NAME", help="h100, h200, b200, a100, l40s, mi300x, …"),
    click.option("--nodes", type=COUNT, default=1, show_default=True, help="Nodes of one group."),
    click.option("--gpus-per-node", type=COUNT, default=8, show_default=True, help="GPUs of each node."),
    click.option(
        "--network", type=click.Choice(NETWORKS), default="tcp", show_default=True, help="What is between the nodes."
    ),
    click.option("--force", is_flag=True, help="Allow tensor parallel between nodes over TCP."),
    click.option("--tensor", type=COUNT, help="Only this layout: GPUs that share each layer."),
    click.option("--pipeline", type=COUNT, help="Only this layout: stages of layers."),
    click.option("--data", type=COUNT, help="Only this layout: copies of attention."),
    click.option("--expert/--no-expert", default=None, help="Only with, or without, expert parallel."),
    click.option("--decode-context", type=COUNT, help="Only with so many ranks that share a request's KV cache."),
    click.option("--max-model-len", type=COUNT, help="Tokens of a request.  [default: the model's limit]"),
    click.option(
        "--gpu-memory-utilization",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of each GPU for vLLM.  [default: vLLM's]",
    ),
    click.option("--max-num-batched-tokens", type=COUNT, help="Tokens of a step.  [default: vLLM's, by GPU]"),
    click.option("--max-num-seqs", type=COUNT, help="Requests of a step.  [default: vLLM's, by GPU]"),
    click.option("--kv-cache-dtype", type=click.Choice(KV_DTYPES), default="auto", show_default=True),
    click.option("--enforce-eager", is_flag=True, help="Without CUDA graphs."),
    click.option("--quantization", metavar="METHOD", help="Quantise while loading, such as fp8_per_tensor."),
    click.option("--vllm-version", metavar="X.Y.Z", help="Whose defaults hold.  [default: the newest known]"),
)


def question_options(command: Callable[Concatenate[Asked, P], R]) -> Callable[..., R]:
    """Give a command the options of a question, and what was asked as its first argument."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {field.name: kwargs.pop(field.name) for field in fields(Asked)}
        return command(Asked(**given), *args, **kwargs)

    result: Callable[..., R] = wrapped
    for option in reversed(OPTIONS):
        result = option(result)
    return result


def answer(asked: Asked, log: Path | None = None) -> Plan:
    """Return the plan that was asked for.

    Args:
        asked: the question.
        log: of a start-up of the same model and GPU, to calibrate with.

    Raises:
        click.UsageError: model, GPU, version or a combination of options is not known.
        OSError: the configuration can't be read.
    """
    from vmn.core.planning.candidates import LayoutFilter, predictions
    from vmn.report.plan import Plan

    with _usage_errors(asked.gpu):
        model, options, question = _question(asked)
        question = calibrated(question, options, log) if log else question
    wanted = LayoutFilter(asked.tensor, asked.pipeline, asked.data, asked.expert, asked.decode_context)
    return Plan(model, question, options, predictions(question, wanted))


def _question(asked: Asked) -> tuple[Model, VllmOptions, PlanContext]:
    from vmn.adapters.models import load_model
    from vmn.core.planning.gpus import find_gpu
    from vmn.core.planning.layout.constraints import Cluster
    from vmn.core.planning.model.quantization import with_quantization
    from vmn.core.planning.prediction import plan_context
    from vmn.core.planning.vllm.versions import behaviour

    options = _options(asked)
    since = behaviour(options.version).since
    gpu = find_gpu(asked.gpu)
    model = load_model(asked.model, asked.config, asked.hub)
    shapes = with_quantization(model.architecture, model.config, asked.quantization, since)
    if asked.max_model_len and asked.max_model_len > shapes.max_length:
        raise click.UsageError(
            f"--max-model-len {asked.max_model_len} is more than the model's own {shapes.max_length} tokens, which "
            "vLLM refuses."
        )
    cluster = Cluster(asked.nodes, asked.gpus_per_node, asked.network, asked.force)
    return model, options, plan_context(shapes, gpu, cluster, options)


def _options(asked: Asked) -> VllmOptions:
    from vmn.core.planning.prediction import VllmOptions
    from vmn.core.planning.vllm.versions import LATEST

    return VllmOptions(
        max_model_len=asked.max_model_len,
        utilization=asked.gpu_memory_utilization,
        batched_tokens=asked.max_num_batched_tokens,
        requests=asked.max_num_seqs,
        kv_dtype=asked.kv_cache_dtype,
        eager=asked.enforce_eager,
        version=(asked.vllm_version or LATEST).removeprefix("v"),
    )


@contextmanager
def _usage_errors(gpu: str) -> Iterator[None]:
    """Turn what is not known into wrong usage."""
    from vmn.adapters.models import ModelError
    from vmn.core.names import similar
    from vmn.core.planning.gpus import ALIASES, GPUS, UnknownGpu
    from vmn.core.planning.model.architecture import ConfigError
    from vmn.core.planning.vllm.versions import UnknownVersion

    try:
        yield
    except UnknownGpu as error:
        near = similar(gpu, [*(known.name for known in GPUS), *ALIASES], 1)
        raise click.UsageError(f"{error} Did you mean {near[0]}?" if near else str(error)) from error
    except (ModelError, ConfigError, UnknownVersion) as error:
        raise click.UsageError(str(error)) from error


@click.command()
@question_options
@click.option("--all", "everything", is_flag=True, envvar="VMN_PLAN_ALL", help="All layouts, not only the best ten.")
@click.option("--explain", is_flag=True, help="The best layout, or the one asked for, as a ledger of each GPU.")
@click.option("--calibrate", type=FILE, metavar="LOG", help="Learn from a start-up of the same model and GPU.")
@click.option("--check", type=FILE, metavar="LOG", help="Only say what a start-up's log contradicts.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw that ledger as FILE.svg.")
@output_option
@ends_with_status
def plan(
    asked: Asked,
    everything: bool,
    explain: bool,
    calibrate: Path | None,
    check: Path | None,
    plot: Path | None,
    output: str,
) -> None:
    """Say which layouts of MODEL start on given GPUs, with how much context, and what vLLM will print.

    MODEL is a name of the offline registry, such as deepseek-ai/DeepSeek-R1. The exit status is 1 when nothing fits.

    With any of --tensor, --pipeline and --data only that layout is planned; what is left out is filled in.

    A log is vLLM's own, as `kubectl logs` gives it. With --check the layout and the flags are those of the log, and the
    exit status is 1 when it contradicts the prediction.
    """
    if check:
        _check(asked, check)
    if plot and plot.suffix.lower() != ".svg":
        raise click.BadParameter(f"{plot.name}: only .svg is written.", param_hint="--plot")
    found = answer(asked, calibrate)
    if plot:
        _draw(found, plot)
    click.echo(_shown(found, output, explain, everything))
    sys.exit(0 if any(prediction.fits for prediction in found.layouts) else FINDINGS)


def _check(asked: Asked, log: Path) -> NoReturn:
    with _usage_errors(asked.gpu):
        _, options, question = _question(asked)
    found = contradictions(question, options, log)
    click.echo("\n".join(found) or f"{log.name} agrees with the prediction.")
    sys.exit(FINDINGS if found else 0)


def _shown(found: Plan, output: str, explain: bool, everything: bool) -> str:
    if output == "json":
        from vmn.report.plan_json import as_json

        return as_json(found)
    if explain:
        from vmn.report.plan_explain import explanation

        return explanation(found)
    from vmn.report.plan import text

    return text(found, everything=everything, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)


def _draw(found: Plan, file: Path) -> None:
    from vmn.report.plan_plot import svg

    if found.best.rejected:
        note(f"vmn: {file} is not written, as the layout is refused.")
        return
    file.write_text(svg(found), encoding="utf-8")
    note(f"vmn: wrote {file}")
