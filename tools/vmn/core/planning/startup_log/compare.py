"""A prediction compared with the log of a start: errors, contradictions, and a calibrated context."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vmn.core.planning.correction import Correction
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.prediction import PlanContext, Prediction, Rank, VllmOptions, predict
from vmn.core.planning.startup_log.parse import StartupLog, WorkerLog

ROUNDING_GIB = 0.06
"""GiB by which a number in the log may miss a band: vLLM rounds to hundredths, and libraries take some MiB."""
EXACT = 0.03
"""Share by which weights, which are known, may differ."""
ARITHMETIC = 0.005
"""Share by which vLLM's own numbers may contradict each other, because they are rounded to hundredths."""


@dataclass(frozen=True)
class Comparison:
    """A number in a log, and its prediction.

    Attributes:
        what: the number's name, for people.
        stage: pipeline stage, None for the whole engine.
        predicted: predicted band.
        measured: number in the log.
        slack: distance by which the number may miss the band.
    """

    what: str
    stage: int | None
    predicted: Band
    measured: float
    slack: float = ROUNDING_GIB

    @property
    def is_inside(self) -> bool:
        """Whether the number is in the band."""
        return self.predicted.low - self.slack <= self.measured <= self.predicted.high + self.slack

    @property
    def error(self) -> float:
        """The difference between the expected and the measured number, as a share of the measured one."""
        return (self.predicted.expected - self.measured) / self.measured if self.measured else 0.0

    def __str__(self) -> str:
        """Return the comparison as a sentence."""
        where = "" if self.stage is None else f"stage {self.stage}: "
        band = self.predicted
        form: Callable[[float], str] = _count if band.high > 10_000 else _gib
        return (
            f"{where}{self.what} {form(self.measured)} in the log, predicted {form(band.low)} to {form(band.high)}, "
            f"{form(band.expected)} expected"
        )


def _gib(number: float) -> str:
    return f"{number:.2f}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


@dataclass(frozen=True)
class Calibration:
    """What a log teaches about a context.

    Attributes:
        before: prediction without the log.
        comparisons: each number of the log, and its prediction.
        context: the same context with the log's correction, for ``predict`` and ``predict_all``.
    """

    before: Prediction
    comparisons: Sequence[Comparison]
    context: PlanContext

    @property
    def misses(self) -> list[Comparison]:
        """The numbers outside their bands."""
        return [entry for entry in self.comparisons if not entry.is_inside]


def layout_of(log: StartupLog) -> Layout:
    """Return the layout of a log; a parallel size that it does not name is 1."""
    count = {name: int(log.number(f"{name}_parallel_size") or 1) for name in ("tensor", "pipeline", "data")}
    stages = [worker.pipeline for worker in log.workers if worker.pipeline is not None]
    return Layout(
        tensor=count["tensor"],
        pipeline=max(count["pipeline"], max(stages, default=0) + 1),
        data=count["data"],
        expert=log.settings.get("enable_expert_parallel") == "True",
        decode_context=int(log.number("decode_context_parallel_size") or 1),
    )


def options_of(log: StartupLog, given: VllmOptions) -> VllmOptions:
    """Return the options, with those of the log in place of missing ones."""
    length = log.concurrency_length or log.error_length or log.number("max_model_len") or log.number("max_seq_len")
    utilization = next((worker.utilization for worker in log.workers if worker.utilization), None)
    batched = log.batched_tokens or log.number("max_num_batched_tokens")
    requests = log.number("max_num_seqs")
    return dataclasses.replace(
        given,
        version=log.version or given.version,
        max_model_len=given.max_model_len or (int(length) if length else None),
        utilization=given.utilization or utilization or log.number("gpu_memory_utilization"),
        batched_tokens=given.batched_tokens or (int(batched) if batched else None),
        requests=given.requests or (int(requests) if requests else None),
        kv_dtype=log.settings.get("kv_cache_dtype", "auto") if given.kv_dtype == "auto" else given.kv_dtype,
        eager=given.eager or log.settings.get("enforce_eager") == "True",
        prefix_caching=_yes_or_no(log.settings.get("enable_prefix_caching"), given.prefix_caching),
        flashinfer=log.flashinfer if given.flashinfer is None else given.flashinfer,
    )


def _yes_or_no(text: str | None, otherwise: bool | None) -> bool | None:
    return {"True": True, "False": False}.get(text or "", otherwise)


def calibrate(context: PlanContext, layout: Layout, log: StartupLog) -> Calibration:
    """Return where the prediction for a log was wrong, and the context with a correction.

    Args:
        context: model, GPU, version, and options of the log.
        layout: layout of the log.
        log: log of a start, even of one that failed for lack of memory.
    """
    before = predict(dataclasses.replace(context, correction=None), layout)
    stages = [log.stage(rank.stage, layout.pipeline) for rank in before.ranks]
    pairs = list(zip(before.ranks, stages, strict=True))
    correction = Correction(
        layout,
        context.batch,
        weights=tuple(_ratio(_most(workers, "weights_gib"), rank.weights_gib) for rank, workers in pairs),
        activation=tuple(
            _ratio(_activation(before, rank, workers), rank.activation.expected) for rank, workers in pairs
        ),
        graphs=tuple(_ratio(_most(workers, "graphs_estimate_gib"), rank.graphs.expected) for rank, workers in pairs),
        non_torch=tuple(_non_torch(rank, workers) for rank, workers in pairs),
    )
    return Calibration(before, compare(before, log), dataclasses.replace(context, correction=correction))


def _ratio(measured: float | None, expected: float) -> float:
    return measured / expected if measured is not None and expected else 1.0


def _most(workers: Sequence[WorkerLog], name: str) -> float | None:
    return max((value for worker in workers if (value := getattr(worker, name)) is not None), default=None)


def _least(workers: Sequence[WorkerLog], name: str) -> float | None:
    return min((value for worker in workers if (value := getattr(worker, name)) is not None), default=None)


def _non_torch(rank: Rank, workers: Sequence[WorkerLog]) -> float | None:
    """Return the memory outside PyTorch: as the log says, or its sum without the weights and what else stays."""
    logged, both, weights = (_most(workers, name) for name in ("non_torch_gib", "consumed_gib", "weights_gib"))
    return logged if logged is not None or both is None or weights is None else max(0.0, both - weights - rank.staying)


def _activation(prediction: Prediction, rank: Rank, workers: Sequence[WorkerLog]) -> float | None:
    """Return the peak activations: as the log says, or what is missing between the budget and the KV cache."""
    logged = _most(workers, "activation_gib")
    graphs = _most(workers, "graphs_estimate_gib")
    if logged is not None:
        return logged - (graphs or 0.0) + rank.staying if _most(workers, "consumed_gib") is not None else logged
    available = _least(workers, "available_gib")
    if available is None:
        return None
    weights = _most(workers, "weights_gib") or rank.weights_gib
    other = _non_torch(rank, workers)
    rest = rank.graphs.expected if graphs is None else graphs
    rest += rank.non_torch.expected if other is None else other
    return max(0.0, (_most(workers, "budget_gib") or prediction.budget) - weights - available - rest)


def compare(prediction: Prediction, log: StartupLog) -> list[Comparison]:
    """Return all numbers that both the log and the prediction have."""
    found = [
        entry
        for rank in prediction.ranks
        for entry in _compare_stage(rank, log.stage(rank.stage, prediction.layout.pipeline))
    ]
    copies = prediction.layout.data
    if log.tokens is not None and prediction.tokens.high:
        band = _scaled(prediction.tokens, 1 / copies)
        found.append(Comparison("tokens of KV cache", None, band, log.tokens, slack=_token_slack(prediction)))
    if log.needed_gib is not None and log.error_length == prediction.length:
        needed = Band(prediction.needed_gib * 0.99, prediction.needed_gib, prediction.needed_gib * 1.01)
        found.append(Comparison("GiB of KV cache for one request", None, needed, log.needed_gib))
    if log.longest is not None and log.error == "too_long":
        found.append(Comparison("tokens of the longest request", None, prediction.longest, log.longest, slack=2048))
    return found


def _scaled(band: Band, factor: float) -> Band:
    return Band(band.low * factor, band.expected * factor, band.high * factor)


def _token_slack(prediction: Prediction) -> float:
    """Return the tokens that ``ROUNDING_GIB`` holds."""
    return ROUNDING_GIB / prediction.needed_gib * prediction.length if prediction.needed_gib else 0.0


def _compare_stage(rank: Rank, workers: Sequence[WorkerLog]) -> Iterator[Comparison]:
    weights = Band(rank.weights_gib * (1 - EXACT), rank.weights_gib, rank.weights_gib * (1 + EXACT))
    together = _most(workers, "consumed_gib") is not None
    stays, passes = (Band(size, size, size) for size in (rank.staying, -rank.staying))
    entries = [
        ("GiB of weights", weights, _most(workers, "weights_gib")),
        ("GiB of weights and outside of PyTorch", weights + rank.non_torch + stays, _most(workers, "consumed_gib")),
        ("GiB of peak activation", rank.activation, None if together else _most(workers, "activation_gib")),
        (
            "GiB of peak activation and CUDA graphs",
            rank.activation + rank.graphs + passes,
            _most(workers, "activation_gib") if together else None,
        ),
        ("GiB outside of PyTorch", rank.non_torch, _most(workers, "non_torch_gib")),
        ("GiB for the KV cache", rank.available, _least(workers, "available_gib")),
    ]
    if rank.graphs.high:
        entries.append(("GiB kept back for CUDA graphs", rank.graphs, _most(workers, "graphs_estimate_gib")))
    for what, band, measured in entries:
        if measured is not None:
            yield Comparison(what, rank.stage, band, measured)


def check(prediction: Prediction, log: StartupLog) -> list[str]:
    """Return where a log contradicts a prediction, in words; empty when they agree.

    These contradict: a number outside its band; weights that differ by more than 3 %; a start that was predicted to
    fail, or a failure where the start was sure; a layout, length, or GPU other than the predicted one; and vLLM's own
    numbers if they do not match each other.
    """
    outside = [str(entry) for entry in compare(prediction, log) if not entry.is_inside]
    found = [*_other_question(prediction, log), *_outcome(prediction, log), *outside, *_own_arithmetic(prediction, log)]
    if found and log.has_drafts and not prediction.drafted:
        found.append("the log has speculative decoding, whose weights and KV cache the prediction does not count")
    return found


def _other_question(prediction: Prediction, log: StartupLog) -> Iterator[str]:
    predicted, of_log = prediction.layout, layout_of(log)
    for name in ("tensor", "pipeline", "data"):
        is_logged = f"{name}_parallel_size" in log.settings or (name == "pipeline" and of_log.pipeline > 1)
        if is_logged and getattr(predicted, name) != getattr(of_log, name):
            yield f"the log has {name} parallel size {getattr(of_log, name)}, the prediction {getattr(predicted, name)}"
    length = log.concurrency_length or log.error_length
    if length and length != prediction.length:
        yield f"the log has requests of {length:,} tokens, the prediction {prediction.length:,}"
    budget = _most(log.workers, "budget_gib")
    if budget and abs(budget / prediction.budget - 1) > 0.01:
        yield f"vLLM may use {budget:.2f} GiB of a GPU in the log, but {prediction.budget:.2f} in the prediction"


def _outcome(prediction: Prediction, log: StartupLog) -> Iterator[str]:
    if prediction.rejected and (log.tokens or log.concurrency):
        yield f"vLLM started, but the prediction is that it refuses the layout: {prediction.rejected}"
    elif log.error and prediction.is_sure:
        yield "vLLM did not start for lack of memory, but the prediction is that it surely does"
    elif log.tokens and not log.error and not prediction.rejected and prediction.concurrency.high < 1:
        yield "vLLM started, but the prediction is that no request fits"


def _own_arithmetic(prediction: Prediction, log: StartupLog) -> Iterator[str]:
    """Yield where the tokens in the log do not follow from its other numbers."""
    if log.tokens and log.concurrency and log.concurrency_length:
        product = log.concurrency * log.concurrency_length
        if abs(product - log.tokens) > ARITHMETIC * log.tokens + 0.005 * log.concurrency_length:
            yield f"{log.tokens:,} tokens are not {log.concurrency} requests of {log.concurrency_length:,} tokens"
    for worker in log.workers:
        missing, kept = _missing(worker), worker.graphs_estimate_gib or 0.0
        if kept == 0.0 and log.settings.get("enforce_eager") != "True":
            missing = min(missing or 0.0, 0.0)  # the log may not have what is reserved for CUDA graphs
        if missing is not None and min(abs(missing), abs(missing - kept)) > ROUNDING_GIB:
            yield f"{worker.name or 'the engine'}: the parts miss the budget by {missing:+.2f} GiB"
    if log.has_drafts and not prediction.drafted:
        return  # the layers of the drafts have a cache that the prediction does not count
    tokens = _tokens_from_gib(prediction, log)
    if log.tokens and tokens and abs(tokens - log.tokens) > ARITHMETIC * log.tokens + _token_slack(prediction):
        yield f"the GiB for the KV cache in the log hold {tokens:,.0f} tokens, but the log has {log.tokens:,}"


def _missing(worker: WorkerLog) -> float | None:
    """Return the GiB of the budget that no part explains, None when the log does not have all parts."""
    other = worker.non_torch_gib or 0.0
    taken = worker.consumed_gib
    if taken is None and worker.weights_gib is not None and worker.non_torch_gib is not None:
        taken = worker.weights_gib + other
    if None in (worker.budget_gib, taken, worker.activation_gib, worker.available_gib):
        return None
    return (worker.budget_gib or 0.0) - (taken or 0.0) - (worker.activation_gib or 0.0) - (worker.available_gib or 0.0)


def _tokens_from_gib(prediction: Prediction, log: StartupLog) -> float | None:
    """Return the tokens that fit into the memory in the log, None when it does not have all stages."""
    blocks = []
    for rank in prediction.ranks:
        available = _least(log.stage(rank.stage, prediction.layout.pipeline), "available_gib")
        if available is None or rank.blocks.expected <= 0:
            return None
        blocks.append(available * rank.blocks.expected / rank.available.expected)
    expected = min((rank.blocks.expected for rank in prediction.ranks), default=0.0)
    return min(blocks) / expected * prediction.tokens.expected / prediction.layout.data if expected else None
