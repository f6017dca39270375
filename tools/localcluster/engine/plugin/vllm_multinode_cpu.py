"""vLLM plugin of the local cluster: makes vLLM's CPU engine fit for several ranks a pod, and quicker to start.

In a group of several nodes vLLM 0.32 tells which ranks share a node by the platform's device count. That count
is always 1 on a CPU, so a pod with two ranks fails with ``assert local_message_queue is not None``. Here it
becomes the number of ranks that the configuration puts on each node. GPUs need none of this.

On GPUs vLLM forks its processes, on CPUs it always spawns them, and each imports everything again: three times 15
seconds on two cores. A fork loses OpenMP's threads, so that it is for one thread a rank, and has to be asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

RANKS_PER_NODE = "CPU_RANKS_PER_NODE"
"""Set by the process that makes the configuration; the engine and its workers inherit it."""

START_METHOD = "CPU_START_METHOD"
"""``fork`` where ranks have one thread each; without it vLLM's own choice for CPUs, ``spawn``."""

INSPECTED = Path("/opt/vllm/cache/modelinfos")
"""What vLLM would find out about the model's class by some seconds in a process of its own."""


def register() -> None:
    """Change vLLM in this process; on any platform but the CPU do nothing."""
    from vllm import envs
    from vllm.platforms import current_platform

    platform: Any = type(current_platform)
    if not current_platform.is_cpu() or "device_count" in vars(platform):
        return
    count_ranks(platform)
    with contextlib.suppress(OSError, shutil.Error):  # then vLLM inspects the class itself
        shutil.copytree(INSPECTED, Path(envs.VLLM_CACHE_ROOT) / "modelinfos", dirs_exist_ok=True)


def count_ranks(platform: Any) -> None:
    """Teach the class ``platform`` how many ranks a node holds, as its configuration says."""
    update_config = platform.check_and_update_config

    def check_and_update_config(cls: Any, vllm_config: Any) -> None:
        update_config(vllm_config)
        os.environ[RANKS_PER_NODE] = str(vllm_config.parallel_config.local_world_size)
        if method := os.environ.get(START_METHOD):
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = method

    def device_count(cls: Any) -> int:
        return int(os.environ.get(RANKS_PER_NODE, "1"))

    platform.check_and_update_config = classmethod(check_and_update_config)
    platform.device_count = classmethod(device_count)
