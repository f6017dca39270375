"""The rows of the dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chartfiles.gpu_panels import GPU_PANELS
from chartfiles.panel import Panel

SERIES = 'namespace="$namespace",job=~"$job",group=~"$group"'
LEADERS = 'namespace="$namespace",pod=~"$job-[0-9]+"'
"""Selects the leaders' pods in kube-state-metrics."""
WINDOW = "[$__rate_interval]"
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def quantiles(metric: str) -> dict[str, str]:
    """Return the quantiles of a histogram by their names."""
    rate = f"sum by (le) (rate(vllm:{metric}_bucket{{{SERIES}}}{WINDOW}))"
    return {name: f"histogram_quantile({share}, {rate})" for name, share in QUANTILES.items()}


def by_group(expression: str, more: str = "") -> str:
    """Return a sum by group, and by additional labels."""
    return f"sum by (group{more}) ({expression})"


def rate(metric: str) -> str:
    """Return the rate of a counter of vLLM."""
    return f"rate(vllm:{metric}_total{{{SERIES}}}{WINDOW})"


def gauge(metric: str) -> str:
    """Return a gauge of vLLM."""
    return f"vllm:{metric}{{{SERIES}}}"


ROWS: Mapping[str, Sequence[Panel]] = {
    "Groups": (
        Panel(
            "Serving groups",
            "Groups whose servers all respond to /metrics. If there are fewer than group.replicas, a group is down.",
            "none",
            {"serving": f"count(min by (group) (up{{{SERIES}}}) == 1) or vector(0)"},
            width=4,
            single=True,
        ),
        Panel(
            "Running requests",
            "Requests in vLLM's batches, over all groups.",
            "none",
            {"running": f"sum({gauge('num_requests_running')})"},
            width=4,
            single=True,
        ),
        Panel(
            "Serving",
            "1 while all servers of a group respond.",
            "none",
            {"group {{group}}": f"min by (group) (up{{{SERIES}}})"},
        ),
        Panel(
            "Startup",
            "Seconds from the start of the leader's pod until it was ready, for the latest start (kube-state-metrics).",
            "s",
            {
                "{{pod}}": f"max by (pod) (kube_pod_status_ready_time{{{LEADERS}}} - on (namespace, pod, uid)"
                f" kube_pod_start_time{{{LEADERS}}})"
            },
            width=4,
        ),
        Panel(
            "Recreated",
            "How often a group was recreated within an hour (kube-state-metrics), and how often it restarted in place.",
            "none",
            {
                "{{pod}}": "count by (pod) (max by (namespace, pod, uid)"
                f" (last_over_time(kube_pod_created{{{LEADERS}}}[1h]))) - 1",
                "{{pod}} in place": f"max by (pod) (changes(process_start_time_seconds{{{SERIES}}}[1h])"
                f" or resets(vllm:generation_tokens_total{{{SERIES}}}[1h]))",
            },
            width=4,
        ),
    ),
    "Requests": (
        Panel(
            "Running and waiting",
            "If requests keep waiting, add groups, or raise max-num-seqs if the KV cache has room.",
            "none",
            {
                "running, group {{group}}": by_group(gauge("num_requests_running")),
                "waiting, group {{group}}": by_group(gauge("num_requests_waiting")),
            },
        ),
        Panel(
            "Finished requests",
            "Requests per second, by the reason they finished: stop, length, abort (the client left), or error.",
            "reqps",
            {"{{finished_reason}}": f"sum by (finished_reason) ({rate('request_success')})"},
        ),
        Panel(
            "Responses",
            "HTTP responses per second, by status.",
            "reqps",
            {"{{status}}": f"sum by (status) (rate(http_requests_total{{{SERIES}}}{WINDOW}))"},
        ),
        Panel(
            "First token",
            "Seconds from a request to its first token.",
            "s",
            quantiles("time_to_first_token_seconds"),
        ),
        Panel(
            "Between tokens", "Seconds between two tokens of an answer.", "s", quantiles("inter_token_latency_seconds")
        ),
        Panel(
            "Whole answer", "Seconds from a request to its last token.", "s", quantiles("e2e_request_latency_seconds")
        ),
    ),
    "Engine": (
        Panel(
            "Tokens",
            "Tokens per second. If there are none while requests are running, a rank is stuck.",
            "none",
            {
                "prompt, group {{group}}": by_group(rate("prompt_tokens")),
                "answer, group {{group}}": by_group(rate("generation_tokens")),
            },
        ),
        Panel(
            "KV cache in use",
            "Share of the KV cache in use, for each data-parallel replica. Near 100 %, requests wait or are preempted.",
            "percentunit",
            {"group {{group}}, rank {{engine}}": f"max by (group, engine) ({gauge('kv_cache_usage_perc')})"},
        ),
        Panel(
            "Prefix cache",
            "Share of prompt tokens that were found in the cache.",
            "percentunit",
            {"group {{group}}": f"{by_group(rate('prefix_cache_hits'))} / {by_group(rate('prefix_cache_queries'))}"},
        ),
        Panel(
            "Preemptions",
            "Requests per second that lost their KV cache and start over. The cache is then too small for the load.",
            "reqps",
            {"group {{group}}": by_group(rate("num_preemptions"))},
        ),
        Panel(
            "Time in the queue",
            "Seconds from a request until vLLM started to process it.",
            "s",
            quantiles("request_queue_time_seconds"),
        ),
        Panel(
            "Tokens per step",
            "Mean number of tokens per step of the engine. It shows how well requests are batched.",
            "none",
            {
                "group {{group}}": f"{by_group(f'rate(vllm:iteration_tokens_total_sum{{{SERIES}}}{WINDOW})')}"
                f" / {by_group(f'rate(vllm:iteration_tokens_total_count{{{SERIES}}}{WINDOW})')}"
            },
        ),
    ),
    "GPUs (DCGM exporter)": GPU_PANELS,
}
