"""Start-up logs for ``vmn plan``: ``--check`` and ``--calibrate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmn.cli.options import note

if TYPE_CHECKING:
    from vmn.core.planning.layout.sizes import Layout
    from vmn.core.planning.prediction import PlanContext, VllmOptions
    from vmn.core.planning.startup_log.parse import StartupLog


def contradictions(question: PlanContext, options: VllmOptions, file: Path) -> list[str]:
    """Return what a log says against the prediction for its own layout and options.

    Args:
        question: of the model and the GPUs that the log is of.
        options: that were given; what was not comes from the log.
        file: the log.

    Raises:
        click.UsageError: it is no start-up's log, or of other GPUs.
        OSError: it can't be read.
    """
    from vmn.core.planning.prediction import predict
    from vmn.core.planning.startup_log.compare import check

    log, layout, own = _read(question, options, file)
    return check(predict(own, layout), log)


def calibrated(question: PlanContext, options: VllmOptions, file: Path) -> PlanContext:
    """Return a question with what a log of the same model and GPU teaches, and say where the prediction was off.

    Raises:
        click.UsageError: it is no start-up's log, or of other GPUs.
        OSError: it can't be read.
    """
    from vmn.core.planning.startup_log.compare import calibrate

    log, layout, own = _read(question, options, file)
    learnt = calibrate(own, layout, log)
    for comparison in learnt.comparisons:
        note(f"vmn: {'' if comparison.is_inside else 'outside the band: '}{comparison}")
    return replace(question, correction=learnt.plan_context.correction)


def _read(question: PlanContext, options: VllmOptions, file: Path) -> tuple[StartupLog, Layout, PlanContext]:
    """Return a log, its layout and the question with its options."""
    from vmn.core.planning.layout.constraints import Cluster
    from vmn.core.planning.prediction import plan_context
    from vmn.core.planning.startup_log.compare import layout_of, options_of
    from vmn.core.planning.startup_log.parse import parse_log

    log = parse_log(file.read_text(encoding="utf-8", errors="replace"))
    if not log.workers:
        raise click.UsageError(f"{file.name} has no line of vLLM's on memory, such as `Model loading took`.")
    layout = layout_of(log)
    cluster = Cluster(1, layout.gpus, question.cluster.network, forced=True)
    return log, layout, plan_context(question.model, question.gpu, cluster, options_of(log, options))
