"""Planning a model on given hardware, and comparing plans with the log of a start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vmn.adapters.models import Model, ModelError, load_model
from vmn.app.plan_request import PlanRequest
from vmn.core.names import similar
from vmn.core.planning.candidates import LayoutFilter, fewest_nodes, predictions
from vmn.core.planning.gpus import ALIASES, GPUS, Gpu, UnknownGpu, gpu_of
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.quantization.online import with_quantization
from vmn.core.planning.model.speculation import drafted_tokens
from vmn.core.planning.prediction import PlanContext, Prediction, VllmOptions, plan_context, predict
from vmn.core.planning.startup_log.compare import Comparison, calibrate, check, layout_of, options_of
from vmn.core.planning.startup_log.parse import StartupLog, parse_log
from vmn.core.planning.vllm.environment import Misread, known_variables, settings
from vmn.core.planning.vllm.versions import LATEST, UnknownVersion, behaviour
from vmn.core.speed.calibration import SpeedCalibration
from vmn.core.speed.ranking import Enough
from vmn.core.speed.workload import Speed, Workload


class PlanError(Exception):
    """A plan can't be made as requested; the message says why, and what would work."""


@dataclass(frozen=True)
class Plan:
    """The layouts of a model on given hardware.

    Attributes:
        model: the model.
        context: what all layouts share.
        options: vLLM's flags as requested.
        layouts: a prediction for each layout, the best first.
        comparisons: numbers of the log that the plan was calibrated with, next to the prediction without it.
        workload: what is asked of the group, None without a workload.
        speeds: how fast each layout that fits does the workload.
        calibration: the machine's own factors, None without timed calls.
        enough: the fewest GPUs with which the workload's targets hold, None without targets or if all are too few.
    """

    model: Model
    context: PlanContext
    options: VllmOptions
    layouts: Sequence[Prediction]
    comparisons: Sequence[Comparison] = ()
    workload: Workload | None = None
    speeds: Mapping[Layout, Speed] = field(default_factory=dict)
    calibration: SpeedCalibration | None = None
    enough: Enough | None = None

    @property
    def best(self) -> Prediction:
        return self.layouts[0]

    @property
    def fits(self) -> bool:
        """Whether at least one layout fits."""
        return any(prediction.fits for prediction in self.layouts)

    @cached_property
    def fewest_nodes(self) -> int:
        """The fewest nodes on which the model surely fits; all nodes when the best layout does not fit."""
        nodes = self.context.cluster.nodes
        return fewest_nodes(self.context) if nodes > 1 and self.best.fits else nodes


def plan(request: PlanRequest, log: Path | None = None) -> Plan:
    """Return the plan for a request.

    Args:
        request: the request.
        log: log of a start of the same model on the same GPU, to calibrate with.

    Raises:
        PlanError: the model, the GPU, the version, or a combination of options is not known.
        OSError: a file can't be read.
    """
    model, options, context = _context(request)
    comparisons: Sequence[Comparison] = ()
    if log:
        parsed, layout, own = _read_log(context, options, log)
        calibration = calibrate(own, layout, parsed)
        context, comparisons = replace(context, correction=calibration.context.correction), calibration.comparisons
    wanted = LayoutFilter(request.tensor, request.pipeline, request.data, request.expert, request.decode_context)
    return Plan(model, context, options, predictions(context, wanted), comparisons)


def contradictions(request: PlanRequest, log: Path) -> list[str]:
    """Return what a log contradicts in the prediction for the log's own layout and options.

    Args:
        request: the model and the GPU of the log; options that are not given come from the log.
        log: the file.

    Raises:
        PlanError: the request can't be planned, or the file is not the log of a start.
        OSError: a file can't be read.
    """
    _, options, context = _context(request)
    parsed, layout, own = _read_log(context, options, log)
    return check(predict(own, layout), parsed)


def known_gpu(name: str, gib: float | None = None) -> Gpu:
    """Return a GPU by name, with the total memory in GiB that the user gives, if any.

    Raises:
        PlanError: the GPU is not known; the message suggests a similar one.
    """
    try:
        return gpu_of(name, gib)
    except UnknownGpu as error:
        near = similar(name, [*(known.name for known in GPUS), *ALIASES], 1)
        raise PlanError(f"{error} Did you mean {near[0]}?" if near else str(error)) from error


def _context(request: PlanRequest) -> tuple[Model, VllmOptions, PlanContext]:
    gpu = known_gpu(request.gpu, request.gpu_memory)
    with _plan_errors():
        options = _options(request)
        since = behaviour(options.version).since
        model = load_model(request.model, request.config, request.hub)
        shapes = with_quantization(model.architecture, model.config, request.quantization, since)
        if request.max_model_len and request.max_model_len > shapes.max_length and not options.beyond_limit:
            raise PlanError(
                f"--max-model-len {request.max_model_len} exceeds the model's own limit of {shapes.max_length} tokens, "
                "so vLLM refuses it."
            )
        cluster = Cluster(request.nodes, request.gpus_per_node, request.network, request.force)
        options = replace(options, drafted=drafted_tokens(request.speculative_config, shapes))
        return model, options, plan_context(shapes, gpu, cluster, options)


@contextmanager
def _plan_errors() -> Iterator[None]:
    try:
        yield
    except (ModelError, ConfigError, UnknownVersion, Misread) as error:
        raise PlanError(str(error)) from error


def _options(request: PlanRequest) -> VllmOptions:
    return VllmOptions(
        max_model_len=request.max_model_len,
        utilization=request.gpu_memory_utilization,
        batched_tokens=request.max_num_batched_tokens,
        requests=request.max_num_seqs,
        kv_dtype=request.kv_cache_dtype,
        eager=request.enforce_eager,
        offloaded=request.kv_offloading_per_gpu or 0.0,
        version=(request.vllm_version or LATEST).removeprefix("v"),
        **settings(known_variables(request.env)),
    )


def _read_log(context: PlanContext, options: VllmOptions, file: Path) -> tuple[StartupLog, Layout, PlanContext]:
    """Return a log, its layout, and the context with the log's options.

    Raises:
        PlanError: the file is not the log of a start, or it names an unknown version.
    """
    log = parse_log(file.read_text(encoding="utf-8", errors="replace"))
    if not log.workers:
        raise PlanError(f"{file.name} has no line of vLLM about memory, such as `Model loading took`.")
    layout = layout_of(log)
    cluster = Cluster(1, layout.gpus, context.cluster.network, forced=True)
    with _plan_errors():
        return log, layout, plan_context(context.model, context.gpu, cluster, options_of(log, options))
