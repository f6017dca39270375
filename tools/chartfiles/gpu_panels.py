"""The panels about GPUs, with the metrics of NVIDIA's DCGM exporter."""

from __future__ import annotations

from collections.abc import Sequence

from chartfiles.panel import Panel

POD = 'pod=~"$job-[0-9]+(-[0-9]+)?",{prefix}pod=~"$job-($group)(-[0-9]+)?"'
"""Selects the pods of the chosen groups, leaders and workers."""
GPU = "{{pod}} GPU {{gpu}}"
NVLINK_BYTES = 1024 * 1000
"""Bytes per second of one unit of DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL: DCGM divides KiB by seconds and by 1000 (DCGM
4.6.0, DcgmCacheManager.cpp, ReadAndCacheNvLinkBandwidth). It is a rate, although the exporter declares a counter."""


def gpus(metric: str, more: str = "", by: str = "") -> str:
    """Return a metric of the DCGM exporter by pod and GPU.

    The exporter writes the pod that uses a GPU into the labels namespace and pod. Without ``honorLabels``, which is the
    default of its chart and of the GPU operator, Prometheus moves them to exported_namespace and exported_pod.

    Args:
        metric: the metric.
        more: further matchers.
        by: further labels to keep.
    """
    own = f'{metric}{{namespace="$namespace",{POD.format(prefix="")}{more}}}'
    moved = f'{metric}{{exported_namespace="$namespace",exported_{POD.format(prefix="exported_")}{more}}}'
    renamed = f'label_replace({moved}, "pod", "$1", "exported_pod", "(.+)")'
    return f"max by (pod, gpu{by}) ({renamed} or {own})"


GPU_PANELS: Sequence[Panel] = (
    Panel(
        "GPU utilization",
        "Share of the time in which a kernel ran. A GPU that waits for a slower one in a collective is busy, too.",
        "percentunit",
        {GPU: f"{gpus('DCGM_FI_DEV_GPU_UTIL')} / 100"},
        width=6,
    ),
    Panel(
        "GPU memory in use",
        "Share of the GPU's memory. vLLM takes gpu-memory-utilization when it starts, and no more afterwards.",
        "percentunit",
        {GPU: f"{gpus('DCGM_FI_DEV_FB_USED')} / ({gpus('DCGM_FI_DEV_FB_USED')} + {gpus('DCGM_FI_DEV_FB_FREE')})"},
        width=6,
    ),
    Panel(
        "Power",
        "Power draw. A GPU far below the others of its group waits for them, or is limited.",
        "watt",
        {GPU: gpus("DCGM_FI_DEV_POWER_USAGE")},
        width=6,
    ),
    Panel(
        "Tensor cores",
        "Share of cycles in which the tensor cores worked. It is what GPU utilization does not tell.",
        "percentunit",
        {GPU: gpus("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")},
        width=6,
    ),
    Panel(
        "Clock",
        "Clock of the GPU's processors. Under load, one GPU below the others slows down its whole group.",
        "hertz",
        {GPU: f"{gpus('DCGM_FI_DEV_SM_CLOCK')} * 1e6"},
        width=6,
    ),
    Panel(
        "Throttled",
        "How often in 5 minutes the clock was lowered for temperature or power. The exporter's counter of clock events"
        " is off by default.",
        "none",
        {
            f"{GPU} {{{{clock_event}}}}": gpus(
                "DCGM_EXP_CLOCK_EVENTS_COUNT", more=',clock_event!="gpu_idle"', by=", clock_event"
            )
        },
        width=6,
    ),
    Panel(
        "NVLink",
        "Bytes per second, sent and received, of a GPU over all of its links.",
        "Bps",
        {GPU: f"{gpus('DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL')} * {NVLINK_BYTES}"},
        width=6,
    ),
    Panel(
        "XID",
        "The last XID error that the driver reported, 0 without one. 13, 31, 43, 45, 68, and 109 are errors of"
        " programs; any other one means broken hardware.",
        "none",
        {GPU: gpus("DCGM_FI_DEV_XID_ERRORS")},
        width=6,
    ),
)
