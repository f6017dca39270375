"""vLLM plugin of the local cluster: makes vLLM's CPU engine fit for several ranks a pod, and quicker to start.

In a group of several nodes vLLM 0.32 tells which ranks share a node by the platform's device count. That count
is always 1 on a CPU, so a pod with two ranks fails with ``assert local_message_queue is not None``. Here it
becomes the number of ranks that the configuration puts on each node. GPUs need none of this.

Data-parallel replicas of a mixture of experts exchange tokens in each layer. The CPU build lacks the two collectives
for that (``NotImplementedError`` in ``base_device_communicator.py``); here they are made of those that gloo has.

On GPUs the chart lets vLLM fork its processes. On CPUs vLLM always spawns them, and each imports everything again:
three times 15 seconds on two cores. A fork loses OpenMP's threads, so that it is for one thread a rank, and has to be
asked for.

A rank that waits for a message from its engine first looks for it all the time for a second, which saves GPUs some
microseconds. Here ranks share two processors, so that others wait for them meanwhile.
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

GATHERS = "CPU_GATHERS"
"""Set by the process that makes the configuration when there are data-parallel replicas."""

BUSY_SECONDS = 0.02
"""For which a rank looks for a message; in a pipeline under load, the next one comes within that time."""

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
    wait_soon()
    if os.environ.get(GATHERS):
        add_collectives()
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
        if vllm_config.parallel_config.data_parallel_size > 1:
            os.environ[GATHERS] = "1"
            add_collectives()

    def device_count(cls: Any) -> int:
        return int(os.environ.get(RANKS_PER_NODE, "1"))

    platform.check_and_update_config = classmethod(check_and_update_config)
    platform.device_count = classmethod(device_count)


def wait_soon() -> None:
    """Have readers of shared memory wait until they are woken, instead of looking for messages for a second."""
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    record_read = SpinCondition.record_read

    def record(self: Any) -> None:
        record_read(self)
        self.busy_loop_s = BUSY_SECONDS

    SpinCondition.record_read = record


def add_collectives() -> None:
    """Give vLLM's communicator of CPUs the collectives for parts of different sizes, in their first dimension."""
    import torch
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

    def all_gatherv(self: Any, input_: Any, dim: int = 0, sizes: list[int] | None = None) -> Any:
        if isinstance(input_, list):
            return [all_gatherv(self, one, dim, sizes) for one in input_]
        counts = sizes or [len(input_)] * self.world_size
        padded = input_.new_zeros(max(counts), *input_.shape[1:])
        padded[: len(input_)] = input_
        parts = [torch.empty_like(padded) for _ in counts]
        torch.distributed.all_gather(parts, padded, group=self.device_group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def reduce_scatterv(self: Any, input_: Any, dim: int = 0, sizes: list[int] | None = None) -> Any:
        counts = sizes or [len(input_) // self.world_size] * self.world_size
        total = input_.contiguous()
        torch.distributed.all_reduce(total, group=self.device_group)
        begin = sum(counts[: self.rank_in_group])
        return total[begin : begin + counts[self.rank_in_group]].clone()

    CpuCommunicator.all_gatherv = all_gatherv
    CpuCommunicator.reduce_scatterv = reduce_scatterv
