"""``vmn generate``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from vmn.cli.options import FINDINGS, chart_option, ends_with_status, note
from vmn.cli.plan import Asked, answer, question_options

LOAD_GBPS = 10.0
LENGTH_STEP = 1024
"""A context that is shorter than the model's own is a multiple of this."""
FLAGS = (
    "gpu_memory_utilization",
    "max_num_batched_tokens",
    "max_num_seqs",
    "kv_cache_dtype",
    "enforce_eager",
)
"""Options that go on to vLLM as they are."""


@click.command()
@question_options
@click.option(
    "--load-gbps",
    type=click.FloatRange(0, min_open=True),
    default=LOAD_GBPS,
    show_default=True,
    help="Each node's download.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file to write.  [default: print]")
@chart_option
@ends_with_status
def generate(asked: Asked, load_gbps: float, output: Path | None, chart: Path | None) -> None:
    """Write a values file for the best layout of MODEL on given GPUs.

    It has only what differs from the chart's defaults, and says why. The exit status is 1 when nothing fits.
    """
    text = values_file(asked, load_gbps, chart)
    if text is None:
        note("vmn: no layout fits, so no values were written. `vmn plan` with the same options says why.")
        sys.exit(FINDINGS)
    if output:
        output.write_text(text, encoding="utf-8")
        note(f"vmn: wrote {output}")
    else:
        click.echo(text, nl=False)


def values_file(asked: Asked, load_gbps: float, chart: Path | None = None) -> str | None:
    """Return the values file that was asked for, None when no layout fits.

    Raises:
        click.UsageError: model, GPU, version or a combination of options is not known.
        OSError: the chart or the model can't be read.
    """
    from vmn.adapters.files import default_chart, read_values
    from vmn.core.planning.values_file import ValuesFileSpec, overlay

    plan = answer(asked)
    if not plan.best.is_sure and asked.max_model_len is None:
        surely = max((int(item.longest.low) for item in plan.layouts), default=0) // LENGTH_STEP * LENGTH_STEP
        plan = answer(replace(asked, max_model_len=surely)) if surely else plan
    if not plan.best.fits:
        return None
    group: Any = read_values((chart or default_chart()) / "values.yaml")["group"]
    request = ValuesFileSpec(
        name=plan.model.name,
        command=command_line(asked, load_gbps),
        facts=plan.model.date,
        checkpoint_bytes=plan.model.checkpoint_bytes,
        load_gbps=load_gbps,
        flags={name.replace("_", "-"): getattr(asked, name) for name in FLAGS if getattr(asked, name) != "auto"},
        nodes=group["nodes"],
        gpus_per_node=group["gpusPerNode"],
    )
    return overlay(request, plan.question, plan.layouts)


def command_line(asked: Asked, load_gbps: float) -> str:
    """Return the command line that asks for the same."""
    defaults: dict[str, Any] = {parameter.name or "": parameter.default for parameter in generate.params}
    words = ["vmn", "generate", *([asked.model] if asked.model else [])]
    given = {field.name: getattr(asked, field.name) for field in fields(asked) if field.name != "model"}
    for name, value in [*given.items(), ("load_gbps", load_gbps)]:
        option = f"--{name.replace('_', '-')}"
        if value == defaults[name] or value is None or (value is False and name != "expert"):
            continue
        words += [option if value is True else "--no-expert"] if isinstance(value, bool) else [option, str(value)]
    return shlex.join(words)


def parsed(arguments: list[str]) -> tuple[Asked, float]:
    """Return what a command line asks for, as ``vmn generate`` itself reads it.

    Raises:
        click.UsageError: it can't be read.
    """
    with generate.make_context("generate", list(arguments)) as context:
        given = context.params
    return Asked(**{field.name: given[field.name] for field in fields(Asked)}), given["load_gbps"]
