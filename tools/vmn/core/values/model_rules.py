"""Ring 3: values against the model's shapes, and against the GPU's memory where it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.planning.gpus import Gpu
from vmn.core.planning.layout.constraints import Cluster, refusals
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.prediction import VllmOptions, plan_context, predict
from vmn.core.values.layout import layout_of
from vmn.core.values.problem import ValuesProblem, shown

RING = "model"
KEYS = {
    "tensor": "parallelism.tensor",
    "pipeline": "parallelism.pipeline",
    "data": "parallelism.data",
    "expert": "parallelism.expert",
    "decode_context": "parallelism.decodeContext",
}
NETWORKS = {"tcp": "tcp", "infiniband": "infiniband", "mnnvl": "nvlink"}
"""The planner's network of a ``fabric.profile``; the others are as fast as RoCE."""
PRODUCT_LABEL = "nvidia.com/gpu.product"
Values = Mapping[str, Any]


def model_problems(values: Values, model: Architecture, gpu: Gpu | None) -> list[ValuesProblem]:
    """Return what vLLM would refuse.

    Args:
        values: the chart's defaults with the file on top, which have passed the other rings.
        model: the shapes of ``model.name``.
        gpu: what the nodes have, None when it is not known.
    """
    found = [*_layout(values, model), *_length(values, model)]
    return found or (list(_memory(values, model, gpu)) if gpu else [])


def product_of(values: Values) -> str | None:
    """Return the GPU that the values ask nodes for, by its product label."""
    product = values["scheduling"]["nodeSelector"].get(PRODUCT_LABEL)
    return str(product) if product else None


def _cluster(values: Values) -> Cluster:
    # The chart can't know that a site wants tensor parallelism over TCP; it is slow, and it works.
    group = values["group"]
    return Cluster(group["nodes"], group["gpusPerNode"], NETWORKS.get(values["fabric"]["profile"], "roce"), forced=True)


def _layout(values: Values, model: Architecture) -> Iterator[ValuesProblem]:
    layout = layout_of(values)
    told: set[str] = set()
    for refusal in refusals(model, layout, _cluster(values)):
        key = KEYS.get(refusal.part, "group.gpusPerNode")
        if key not in told:
            told.add(key)
            given = shown(getattr(layout, refusal.part, None))
            yield ValuesProblem(key, given, f"can't be: {refusal.text}.", _instead(refusal.part, model), RING)


def _instead(part: str, model: Architecture) -> str:
    match part:
        case "tensor":
            sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if model.heads % size == 0]
            return f"Use one of {', '.join(map(str, sizes))}, and pipeline for the rest."
        case "pipeline":
            return f"Use at most {len(model.layers)}."
        case "data":
            return "Use 1, and group.replicas for more copies; or ranks that fit whole into nodes."
        case "expert":
            return "Use true." if model.is_moe else "Use false."
        case _:
            return "Leave it unset; `vmn plan` lists the layouts that fit."


def _length(values: Values, model: Architecture) -> Iterator[ValuesProblem]:
    length = values["model"].get("maxLength")
    if length and length > model.max_length:
        reason = f"is more than the model's own {model.max_length} tokens, which vLLM refuses."
        yield ValuesProblem("model.maxLength", str(length), reason, f"Use at most {model.max_length}.", RING)


def _memory(values: Values, model: Architecture, gpu: Gpu) -> Iterator[ValuesProblem]:
    args = values["engine"]["args"]
    options = VllmOptions(
        max_model_len=values["model"].get("maxLength"),
        utilization=args.get("gpu-memory-utilization"),
        batched_tokens=args.get("max-num-batched-tokens"),
        requests=args.get("max-num-seqs"),
        kv_dtype=args.get("kv-cache-dtype", "auto"),
        eager=bool(args.get("enforce-eager", False)),
    )
    context = plan_context(model, gpu, _cluster(values), options)
    answer = predict(context, layout_of(values))
    if answer.fits or "kv-cache-memory-bytes" in args:
        return
    worst = min(rank.available.expected for rank in answer.ranks)
    longest = int(answer.longest.low)
    if longest:
        reason = (
            f"needs {answer.needed_gib:.1f} GiB of KV cache on a {gpu.name}, and about {worst:.1f} GiB are left "
            "beside weights and activations."
        )
        fix = f"Use at most {longest}, or more GPUs."
        yield ValuesProblem("model.maxLength", str(context.batch.length), reason, fix, RING)
        return
    weights = max(rank.weights_gib for rank in answer.ranks)
    given = shown(values["group"]["nodes"])
    reason = f"{'node' if given == '1' else 'nodes'} leave no memory for the KV cache: {weights:.1f} GiB of weights"
    reason += f" on each {gpu.name} of {gpu.gib:.1f} GiB."
    fix = "Use more nodes, or a quantised model; `vmn plan` says which fits."
    yield ValuesProblem("group.nodes", given, reason, fix, RING)
