"""Ring 3: what the model's shapes rule out, and the memory of the GPU if it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vmn.core.planning.gpus import Gpu
from vmn.core.planning.layout.constraints import Cluster, refusals
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.model.length import longest_context
from vmn.core.planning.prediction import VllmOptions, plan_context, predict
from vmn.core.planning.vllm.environment import settings
from vmn.core.planning.vllm.versions import LATEST, release
from vmn.core.values.layout import layout_of
from vmn.core.values.problem import ValuesProblem, shown
from vmn.core.values.speculation import asked_speculation, speculation_problems
from vmn.core.values.vllm_variables import unreadable_variables

RING = "model"
PARTITION = "VLLM_PP_LAYER_PARTITION"
KEYS = {
    "tensor": "parallelism.tensor",
    "pipeline": "parallelism.pipeline",
    "data": "parallelism.data",
    "expert": "parallelism.expert",
    "decode_context": "parallelism.decodeContext",
    "kv_dtype": "engine.args.kv-cache-dtype",
    "partition": f"engine.env.{PARTITION}",
}
NETWORKS = {"tcp": "tcp", "infiniband": "infiniband", "mnnvl": "nvlink"}
"""The planner's network for a ``fabric.profile``; all others are as fast as RoCE."""
PRODUCT_LABEL = "nvidia.com/gpu.product"
AUTO = "auto"
"""``model.maxLength`` with which vLLM takes the largest length for which the KV cache has room."""
Values = Mapping[str, Any]


def model_problems(
    values: Values, model: Architecture, gpu: Gpu | None, version: str | None = None
) -> list[ValuesProblem]:
    """Return what vLLM would refuse.

    Args:
        values: values that include the chart's defaults, and that the other rings accept.
        model: the shapes of ``model.name``.
        gpu: GPU of the nodes, None when it is not known.
        version: vLLM's version, None for an image whose version is not known.
    """
    asked = asked_speculation(values["engine"])
    if asked and (found := list(speculation_problems(asked, model, release(version) if version else None))):
        return found
    drafted = asked.tokens if asked and model.draft_layers else 0
    drafting = model.with_drafts(release(version or LATEST)) if drafted else model
    if unreadable := list(unreadable_variables(values["engine"]["env"], RING)):
        return unreadable
    options = _options(values, drafted, version)
    drafting = replace(drafting, partition=options.partition)
    found = [*_layout(values, drafting, gpu), *([] if options.beyond_limit else _length(values, model))]
    return found or (list(_memory(values, model, gpu, options)) if gpu else [])


def product_of(values: Values) -> str | None:
    """Return the GPU that the values select nodes by, as its product label."""
    product = values["scheduling"]["nodeSelector"].get(PRODUCT_LABEL)
    return str(product) if product else None


def _cluster(values: Values) -> Cluster:
    # The chart can't know whether a site accepts tensor parallelism over TCP, which is slow but works.
    group = values["group"]
    return Cluster(group["nodes"], group["gpusPerNode"], NETWORKS.get(values["fabric"]["profile"], "roce"), forced=True)


def _layout(values: Values, model: Architecture, gpu: Gpu | None) -> Iterator[ValuesProblem]:
    layout = layout_of(values)
    kv_dtype = str(values["engine"]["args"].get("kv-cache-dtype") or "auto")
    reported: set[str] = set()
    for refusal in refusals(model, layout, _cluster(values), gpu, kv_dtype):
        key = KEYS.get(refusal.part, "group.gpusPerNode")
        if key not in reported:
            reported.add(key)
            asked = {"kv_dtype": kv_dtype, "partition": values["engine"]["env"].get(PARTITION)}
            given = shown(asked.get(refusal.part, getattr(layout, refusal.part, None)))
            yield ValuesProblem(key, given, f"vLLM refuses it: {refusal.text}", _instead(refusal.part, model), RING)


def _instead(part: str, model: Architecture) -> str:
    match part:
        case "tensor":
            sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if model.heads % size == 0]
            return f"Use one of {', '.join(map(str, sizes))}, and parallelism.pipeline for the remaining GPUs."
        case "pipeline":
            most = min([rule.most for rule in model.rules if rule.part == part], default=model.depth)
            return f"Use at most {min(most, model.depth)}."
        case "data":
            return "Use 1, and group.replicas for more groups; or ranks that fit into whole nodes."
        case "expert":
            return "Use true." if model.is_moe else "Use false."
        case "partition":
            return f"Write the layers of each stage, {model.depth} in all, or remove it."
        case "kv_dtype":
            return "Use fp8, or leave it unset."
        case "gpu":
            return "Use other GPUs, or another model."
        case _:
            return "Leave it unset. `vmn plan` lists the layouts that fit."


def _fixed_length(values: Values) -> int | None:
    """Return the context length in tokens, or nothing if the model's limit or vLLM decides."""
    length = values["model"].get("maxLength")
    return length if isinstance(length, int) else None


def _length(values: Values, model: Architecture) -> Iterator[ValuesProblem]:
    length = _fixed_length(values)
    limit = longest_context(values["engine"]["args"].get("hf-overrides"), model.max_length)
    if length and length > limit:
        reason = f"exceeds the model's own limit of {limit} tokens, so vLLM refuses it"
        yield ValuesProblem("model.maxLength", str(length), reason, f"Use at most {limit}.", RING)


def _options(values: Values, drafted: int, version: str | None) -> VllmOptions:
    args = values["engine"]["args"]
    return VllmOptions(
        version=version or LATEST,
        drafted=drafted,
        max_model_len=_fixed_length(values),
        utilization=args.get("gpu-memory-utilization"),
        batched_tokens=args.get("max-num-batched-tokens"),
        requests=args.get("max-num-seqs"),
        kv_dtype=args.get("kv-cache-dtype", "auto"),
        eager=bool(args.get("enforce-eager", False)),
        **settings(values["engine"]["env"]),
    )


def _memory(values: Values, model: Architecture, gpu: Gpu, options: VllmOptions) -> Iterator[ValuesProblem]:
    context = plan_context(model, gpu, _cluster(values), options)
    prediction = predict(context, layout_of(values))
    if prediction.fits or "kv-cache-memory-bytes" in values["engine"]["args"]:
        return
    if prediction.has_too_many_requests and prediction.most_requests:
        most = prediction.most_requests
        reason = f"exceeds the {int(most.expected)} blocks for the states of requests, so vLLM does not start"
        fix = f"Use at most {int(most.low)}."
        yield ValuesProblem("engine.args.max-num-seqs", str(prediction.requests), reason, fix, RING)
        return
    longest = int(prediction.longest.low)
    if longest and values["model"].get("maxLength") == AUTO:
        return
    if longest:
        worst = min(rank.available.expected for rank in prediction.ranks)
        reason = (
            f"needs {prediction.needed_gib:.1f} GiB of KV cache on a {gpu.name}, but weights and activations leave "
            f"only about {worst:.1f} GiB"
        )
        fix = f"Use at most {longest}, or more GPUs."
        yield ValuesProblem("model.maxLength", str(context.batch.length), reason, fix, RING)
        return
    weights = max(rank.weights_gib for rank in prediction.ranks)
    reason = (
        f"too few nodes leave no memory for the KV cache: the weights take {weights:.1f} GiB of the {gpu.gib:.1f} GiB "
        f"of each {gpu.name}"
    )
    fix = "Use more nodes, or a quantized model; `vmn plan` shows what fits."
    yield ValuesProblem("group.nodes", shown(values["group"]["nodes"]), reason, fix, RING)
