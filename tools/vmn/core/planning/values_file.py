"""A values file for the best layout: what differs from the chart's defaults, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout, derived_layout
from vmn.core.planning.memory.activation import GIB
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.speculation import is_only_tokens
from vmn.core.planning.prediction import PlanContext, Prediction
from vmn.core.planning.startup_log.expected import log_lines

GATED = ("meta-llama/", "google/gemma", "mistralai/Mistral-Large")
"""Prefixes of models that the hub only gives to accounts that accepted their license."""
SPECULATION = "speculative-config"
"""The flag that ``engine.speculativeTokens`` stands for."""
ROOM = 1.08
"""Ephemeral storage per byte of a checkpoint: the hub's client also keeps metadata and partial files."""
QUANTITY_STEP_GIB = 10
BUDGET_STEP_S = 600
HUB_BUDGET_S = 7200
"""The chart's startup budget when weights are downloaded (``startup.budgetSeconds``)."""
AFTER_DOWNLOAD_S = 1800
"""Seconds to read the weights, compile, and capture graphs: DeepSeek-R1 shapes take 442 s in addition to loading."""
INTERNAL = "internal"
"""The chart's default for ``parallelism.dataLoadBalancer``: vLLM chooses, on the leader."""
SLOW = 1.5
"""Factor by which a download may take longer than the given bandwidth suggests."""


@dataclass(frozen=True)
class Serving:
    """What vLLM serves a model with, as a recipe says.

    Attributes:
        args: flags of vLLM, such as the parsers of reasoning and tool calls.
        trusts_remote_code: whether the model's repository has code that vLLM must run, such as a tokenizer.
        source: address of the recipe.
    """

    args: Mapping[str, object] = field(default_factory=dict)
    trusts_remote_code: bool = False
    source: str = ""


@dataclass(frozen=True)
class ValuesFileSpec:
    """What a values file needs in addition to the plan.

    Attributes:
        name: name of the model on the hub.
        command: the command line that writes the file.
        read_on: date on which the shapes of the model were read.
        checkpoint_bytes: size of the model's files; None derives it from the shapes.
        load_gbps: bandwidth of a node's download in Gbit/s.
        flags: vLLM's flags that the user asks for.
        reasons: why flags differ from vLLM's defaults, by flag.
        goal: lines about what the layout was chosen for.
        is_open: whether the model is known to be on the Hub, under its name.
        nodes: the chart's default.
        gpus_per_node: the chart's default.
        balancer: what chooses the data-parallel replica of a request (``parallelism.dataLoadBalancer``).
        serving: what vLLM serves the model with; flags that the user asks for count more.
        env: variables of vLLM that the user asks for.
    """

    name: str
    command: str
    read_on: str
    checkpoint_bytes: int | None
    load_gbps: float
    flags: Mapping[str, object]
    nodes: int
    gpus_per_node: int
    is_open: bool = True
    reasons: Mapping[str, str] = field(default_factory=dict)
    balancer: str = INTERNAL
    goal: Sequence[str] = ()
    serving: Serving = Serving()
    env: Mapping[str, str] = field(default_factory=dict)


def values_file_text(spec: ValuesFileSpec, context: PlanContext, found: Sequence[Prediction]) -> str:
    """Return a values file as text.

    Args:
        spec: what the file needs in addition to the plan.
        context: what all layouts share.
        found: predictions, the best first; the first one must fit.

    Raises:
        ValueError: no layout fits.
    """
    if not found or not found[0].fits:
        raise ValueError("no layout fits")
    best = found[0]
    other = next((item for item in found[1:] if item.fits and _shape(item.layout) != _shape(best.layout)), None)
    parts = [*_header(spec, context, best, other), *_model(spec, context, best)]
    parts += [*_group(spec, context.cluster), *_parallelism(spec, context.cluster, best.layout)]
    parts += [*_engine(spec, context), *_offloading(context, best)]
    parts += [*_weights(spec, context), *_startup(spec, context), *_token(spec)]
    return "\n".join(parts) + "\n"


def _header(spec: ValuesFileSpec, context: PlanContext, best: Prediction, other: Prediction | None) -> list[str]:
    gpu, cluster = context.gpu, context.cluster
    full = min(best.ranks, key=lambda rank: rank.available.expected)
    soft = full.activation + full.non_torch + full.graphs
    lines = [
        f"# {spec.name} on {cluster.nodes} x {cluster.gpus_per_node} {gpu.name}, for vLLM {context.version}.",
        f"# Written by: {spec.command}",
        f"# with {_shapes(spec)}. On the fullest stage, of each GPU's {gpu.gib:.2f} GiB:",
        f"#   {context.budget:.2f} GiB are available to vLLM;",
        f"#   {full.weights_gib:.2f} GiB hold weights;",
        f"#   {soft.low:.1f} to {soft.high:.1f} GiB hold activations, NCCL's buffers, and CUDA graphs;",
        f"#   {full.available.low:.1f} to {full.available.high:.1f} GiB remain for the KV cache: {_tokens(best)}.",
    ]
    lines += ["# Expected log lines of vLLM:", *(f"#   {line}" for line in log_lines(best))]
    lines += [f"# {line}" for line in spec.goal]
    if other:
        lines.append(f"# Next best layout: {describe(other.layout)}: {_tokens(other)}.")
    return lines


def _shapes(spec: ValuesFileSpec) -> str:
    return f"shapes read on {spec.read_on}" if spec.read_on else "the shapes of that file"


def _shape(layout: Layout) -> tuple[int, ...]:
    return layout.tensor, layout.pipeline, layout.data, layout.decode_context


def describe(layout: Layout) -> str:
    """Return a layout in words."""
    sizes = {"tensor": layout.tensor, "pipeline": layout.pipeline, "data": layout.data}
    words = [f"{name} {size}" for name, size in sizes.items() if size > 1] or ["one GPU"]
    words += ["expert parallel"] if layout.expert else []
    words += [f"decode context {layout.decode_context}"] if layout.decode_context > 1 else []
    return ", ".join(words)


def _tokens(prediction: Prediction) -> str:
    return f"{prediction.tokens.low / 1000:,.0f}k to {prediction.tokens.high / 1000:,.0f}k tokens"


def _model(spec: ValuesFileSpec, context: PlanContext, best: Prediction) -> list[str]:
    length = context.batch.length
    many = f"{best.concurrency.low:.1f} to {best.concurrency.high:.1f} requests of this length at once"
    limit = context.model.max_length
    why = "the model's own limit" if length == limit else f"of the model's {limit}"
    lines = ["model:", f"  name: {spec.name}", f"  maxLength: {length} # {why}; {many}"]
    if spec.serving.trusts_remote_code:
        lines.append("  trustRemoteCode: true # vLLM runs code of the model's repository, such as its tokenizer")
    return lines


def _group(spec: ValuesFileSpec, cluster: Cluster) -> list[str]:
    lines = [f"  nodes: {cluster.nodes}"] if cluster.nodes != spec.nodes else []
    lines += [f"  gpusPerNode: {cluster.gpus_per_node}"] if cluster.gpus_per_node != spec.gpus_per_node else []
    return ["group:", *lines] if lines else []


def _parallelism(spec: ValuesFileSpec, cluster: Cluster, layout: Layout) -> list[str]:
    """Return the sizes that differ from what the chart derives from the sizes before them, and the load balancer."""
    given = derived_layout(cluster.nodes, cluster.gpus_per_node, data=layout.data, pipeline=layout.pipeline)
    derived = {
        "tensor": given.tensor,
        "pipeline": derived_layout(cluster.nodes, cluster.gpus_per_node, data=layout.data).pipeline,
        "data": 1,
        "expert": False,
        "decodeContext": 1,
    }
    chosen = {
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
        "expert": layout.expert,
        "decodeContext": layout.decode_context,
    }
    lines = [f"  {key}: {str(value).lower()}" for key, value in chosen.items() if value != derived[key]]
    lines += [f"  dataLoadBalancer: {spec.balancer}"] if spec.balancer != INTERNAL else []
    return ["parallelism:", *lines] if lines else []


def _engine(spec: ValuesFileSpec, context: PlanContext) -> list[str]:
    given = {flag: value for flag, value in spec.flags.items() if value}
    reason = spec.reasons.get(SPECULATION, "")
    own = []
    if is_only_tokens(given.get(SPECULATION)):
        given.pop(SPECULATION)
        own = [_entry("  speculativeTokens", context.batch.drafted, reason)]
    args = [_entry(f"    {flag}", value, spec.reasons.get(flag, "")) for flag, value in given.items()]
    serving = {flag: value for flag, value in spec.serving.args.items() if flag not in given}
    if serving:
        args += [
            "    # From",
            f"    # {spec.serving.source}",
            *(_entry(f"    {flag}", serving[flag], "") for flag in serving),
        ]
    env = [f"    {name}: {json.dumps(value)}" for name, value in spec.env.items()]
    parts = [*own, *(["  args:", *args] if args else []), *(["  env:", *env] if env else [])]
    return ["engine:", *parts] if parts else []


def _entry(key: str, value: object, reason: str) -> str:
    words = json.dumps(value) if isinstance(value, Mapping) else str(value).lower()
    return f"{key}: {words}" + (f" # {reason}" if reason else "")


def _offloading(context: PlanContext, best: Prediction) -> list[str]:
    if not context.offloaded:
        return []
    pod = context.offloaded * context.cluster.gpus_per_node
    comment = f"{pod:g}Gi per node hold {best.host_tokens / 1000:,.0f}k tokens of the KV cache in all"
    return ["kvCache:", f"  offloadingSizePerGpu: {context.offloaded:g}Gi # {comment}"]


def checkpoint_gib(spec: ValuesFileSpec, context: PlanContext) -> float:
    """Return the size of a model's files: as published, or else by its shapes."""
    if spec.checkpoint_bytes:
        return spec.checkpoint_bytes / GIB
    sizes = stage_weights(context.model, Layout(), 0)
    return sum(size for name, size in sizes.items() if name != "copies") / GIB


def _weights(spec: ValuesFileSpec, context: PlanContext) -> list[str]:
    size = checkpoint_gib(spec, context)
    room = -(-size * ROOM // QUANTITY_STEP_GIB) * QUANTITY_STEP_GIB
    comment = f"each pod downloads the checkpoint ({size:.0f}Gi); a claim for it needs the same size"
    return ["weights:", "  volume:", f"    size: {room:.0f}Gi # {comment}"]


def startup_seconds(spec: ValuesFileSpec, context: PlanContext) -> int:
    """Return how long a start with a download may take: bytes over bandwidth, and what follows."""
    download = checkpoint_gib(spec, context) * GIB * 8 / (spec.load_gbps * 1e9) * SLOW
    return int(-(-(download + AFTER_DOWNLOAD_S) // BUDGET_STEP_S) * BUDGET_STEP_S)


def _startup(spec: ValuesFileSpec, context: PlanContext) -> list[str]:
    seconds = startup_seconds(spec, context)
    if seconds <= HUB_BUDGET_S:
        return []
    size = checkpoint_gib(spec, context)
    comment = f"{size:.0f}Gi at {spec.load_gbps:g} Gbit/s, plus 50 %, plus {AFTER_DOWNLOAD_S} s"
    return ["startup:", f"  budgetSeconds: {seconds} # {comment}"]


def _token(spec: ValuesFileSpec) -> list[str]:
    lines = ["auth:", "  huggingFace:"]
    if spec.name.startswith(GATED):
        return [*lines, "    existingSecret: hf-secret # the model is gated: the download fails without a token"]
    why = "the model is open: a token" if spec.is_open else "needed if the model is gated; otherwise it"
    return [
        *lines,
        "    existingSecret: hf-secret",
        f"    optional: true # {why} only raises the hub's rate limits",
    ]
