"""A measurement in llm-d's benchmark report schema 0.2.1.

The schema is ``llmdbenchmark/analysis/benchmark_report/br_v0_2_1_json_schema.json`` of llm-d/llm-d-benchmark at
8bc9f1ddd873a24f1657d6cca2e0d0fb6947dd36.
"""

from __future__ import annotations

import uuid
from typing import Any

from vmn.core.bench.results import Measured
from vmn.core.bench.served import Served

VERSION = "0.2.1"
LATENCIES = {
    "time_to_first_token": ("ttft", "s"),
    "time_per_output_token": ("tpot", "s/token"),
    "inter_token_latency": ("itl", "s/token"),
    "request_latency": ("e2el", "s"),
}
"""The schema's names, vLLM's, and the units."""
PERCENTILES = (50, 90, 99)


def standard_report(served: Served, each: Measured, began: str) -> dict[str, Any]:
    """Return a measurement as a report of its own.

    Args:
        served: the release.
        each: the measurement.
        began: when the benchmark began, as in ISO 8601.
    """
    result, layout = each.result, served.layout
    throughput = {
        "request_rate": {"units": "queries/s", "mean": result["request_throughput"]},
        "output_token_rate": {"units": "tokens/s", "mean": result["output_throughput"]},
        "total_token_rate": {"units": "tokens/s", "mean": result["total_token_throughput"]},
    }
    requests = {
        "total": int(result["completed"]) + int(result.get("failed") or 0),
        "failures": int(result.get("failed") or 0),
        "input_length": {"units": "count", "mean": result["total_input_tokens"] / max(1, result["completed"])},
        "output_length": {"units": "count", "mean": result["total_output_tokens"] / max(1, result["completed"])},
    }
    accelerators = {"dp": layout.data, "dp_local": 1, "ep": layout.gpus if layout.expert else 1}
    parallelism = {**accelerators, "pp": layout.pipeline, "tp": layout.tensor, "workers": served.nodes}
    return {
        "version": VERSION,
        "run": {
            "uid": uuid.uuid5(uuid.NAMESPACE_URL, f"{served.url}/{began}/{each.point.index}").hex,
            "time": {"start": began, "duration": f"PT{result['duration']:.3f}S"},
        },
        "scenario": {
            "load": {
                "metadata": {"schema_version": "0.0.1", "cfg_id": f"vmn-bench-{each.point.index}"},
                "standardized": {
                    "tool": "vllm-benchmark",
                    "tool_version": served.version,
                    "source": "random",
                    "parallelism": 1,
                    "concurrency": each.point.concurrency,
                    "rate_qps": each.point.rate,
                    "prefix": _prefix(each.point.prefix),
                    "input_seq_len": {"distribution": "fixed", "value": each.point.prompt},
                    "output_seq_len": {"distribution": "fixed", "value": each.point.answer},
                },
                "native": {"args": {"--num-prompts": each.point.requests, "--ignore-eos": None}},
            },
            "stack": [
                {
                    "metadata": {"schema_version": "0.0.1", "label": served.release, "cfg_id": served.release},
                    "standardized": {
                        "kind": "inference_engine",
                        "tool": "vllm",
                        "tool_version": served.version,
                        "role": "replica",
                        "replicas": served.groups,
                        "model": {"name": served.name},
                        "accelerator": {"count": layout.gpus, "model": "unknown", "parallelism": parallelism},
                    },
                    "native": {"args": {f"--{flag}": value for flag, value in served.flags.items()}},
                }
            ],
        },
        "results": {
            "request_performance": {
                "aggregate": {"requests": requests, "latency": _latencies(each), "throughput": throughput}
            }
        },
    }


def _prefix(tokens: int) -> dict[str, Any] | None:
    """Return the beginning that all prompts share, None without one."""
    length = {"distribution": "fixed", "value": tokens}
    return {"prefix_len": length, "num_groups": 1, "num_users_per_group": 1, "num_prefixes": 1} if tokens else None


def _latencies(each: Measured) -> dict[str, Any]:
    found = {}
    for name, (short, units) in LATENCIES.items():
        values = {"mean": each.result.get(f"mean_{short}_ms")}
        values |= {f"p{share}": each.result.get(f"p{share}_{short}_ms") for share in PERCENTILES}
        known = {key: value / 1000 for key, value in values.items() if value is not None}
        if known:
            found[name] = {"units": units, **known}
    return found
