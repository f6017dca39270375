"""Flags of ``vllm serve`` that vLLM refuses together, or one without the other.

Sources: ``validate_parsed_serve_args`` in vLLM 0.33's entrypoints/common/cli_args.py, ``create_speculative_config`` in
engine/arg_utils.py, and the validators of config/kv_transfer.py, config/ec_transfer.py, config/ec_manager_config.py,
config/structured_outputs.py, config/profiler.py and config/parallel.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Together = tuple[str, str, str]
"""A flag, what is wrong with it, and what to do."""


@dataclass(frozen=True)
class Tie:
    """A key of a flag's JSON that needs another key.

    Attributes:
        flag: the flag.
        key: the key.
        values: its values that need the other key; empty for all but false and what is empty.
        other: the other key.
        wanted: the values that the other key must have; empty for any.
        how: what to say of the other key's value.
    """

    flag: str
    key: str
    other: str
    values: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    how: str = ""


PROTON = ("profiler_dir", "backend", "mode", "hook", "output_format", "graph_attribution")
TIES = (
    Tie("kv-transfer-config", "kv_connector", "kv_role", how=", to kv_both, kv_producer or kv_consumer"),
    Tie("ec-transfer-config", "ec_connector", "ec_role", how=", to ec_both, ec_producer or ec_consumer"),
    Tie("ec-manager-config", "manager_config", "encoder_cache_manager_cls"),
    Tie("structured-outputs-config", "disable_any_whitespace", "backend", wanted=("xgrammar", "guidance")),
    Tie("structured-outputs-config", "disable_additional_properties", "backend", wanted=("guidance",)),
    Tie("profiler-config", "profiler", "torch_profiler_dir", values=("torch",)),
    Tie("profiler-config", "profiler", "proton_profiler_dir", values=("proton",)),
    Tie("profiler-config", "torch_profiler_dir", "profiler", wanted=("torch",)),
    Tie("profiler-config", "capture_torch_profiler", "profiler", wanted=("torch",)),
    Tie("profiler-config", "proton_context", "profiler", values=("python",), wanted=("proton",)),
    Tie("profiler-config", "proton_data", "profiler", values=("trace",), wanted=("proton",)),
    *(Tie("profiler-config", f"proton_{name}", "profiler", wanted=("proton",)) for name in PROTON),
)
NEEDED = {
    "enable-auto-tool-choice": ("tool-call-parser", "Set tool-call-parser too."),
    "enable-log-outputs": ("enable-log-requests", "Set logging.requests to true too."),
}
AS_KEYS = {"spec-method": "method", "spec-model": "model", "spec-tokens": "num_speculative_tokens"}
"""Flags that set a key of speculative-config."""


def refused_together(args: Mapping[str, object]) -> Iterator[Together]:
    """Yield what vLLM refuses in flags that are each right.

    Args:
        args: values by the full name of the flag, with keys that are given one by one as a map; and variables.
    """
    for name, (needed, fix) in NEEDED.items():
        if args.get(name) is True and args.get(needed) in (None, "", "None", False):
            yield name, f"needs {needed}, which is not set", fix
    if args.get("enable-per-request-metrics") is True and args.get("disable-log-stats") is True:
        yield "enable-per-request-metrics", "can't be combined with disable-log-stats", "Remove one of the two."
    if args.get("grpc-port") not in (None, "", "None") and args.get("VLLM_USE_RUST_FRONTEND") in (None, "0"):
        yield (
            "grpc-port",
            "is a port of the Rust frontend, which is off",
            'Set VLLM_USE_RUST_FRONTEND to "1" in engine.env.',
        )
    speculative = as_map(args.get("speculative-config"))
    for name, key in AS_KEYS.items():
        if args.get(name) is not None and key in speculative:
            yield name, f"sets {key}, which speculative-config sets too", "Keep one of the two."
    yield from _of_configs(args)


def _of_configs(args: Mapping[str, object]) -> Iterator[Together]:
    """Yield keys of one flag's JSON that need another key."""
    for tie in TIES:
        given = as_map(args.get(tie.flag))
        value, other = given.get(tie.key), given.get(tie.other)
        concerned = value in tie.values if tie.values else bool(value)
        met = other in tie.wanted if tie.wanted else other not in (None, "")
        if concerned and not met:
            wanted = f" {' or '.join(tie.wanted)}" if tie.wanted else ""
            yield (
                tie.flag,
                f"has the key {tie.key} without {tie.other}{wanted}",
                f"Set the key {tie.other} too{tie.how}.",
            )
    experts = as_map(args.get("eplb-config"))
    if experts.get("use_async", True) is True and experts.get("communicator") in ("torch_nccl", "pynccl"):
        reason = f"has communicator {experts['communicator']}, which can't be used while use_async is true"
        yield "eplb-config", reason, "Use nixl or torch_gloo, or set use_async to false."


def as_map(value: object) -> Mapping[str, Any]:
    """Return a map that is given as one or as JSON, empty for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
