"""A plugin of vLLM that breaks the process that it is in when a signal comes, where nothing can be done from outside.

A scenario puts it into its pods with ``"env": {"worker": {"PYTHONPATH+": "INSTRUMENTS"}}``. ``injections.py`` sends the
signals:

- SIGUSR2 starts a kernel on the process' GPU that does not end for hours. It stands for a rank that hangs in the GPU's
  driver or in a kernel.
- SIGRTMIN+1 takes all memory that PyTorch has reserved in this process and does not use, and lets it reserve no more.
  The next step then runs out of memory. Other processes on the GPU have what they had.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

CYCLES = 10**13
"""More than an hour at 2 GHz."""
LARGEST, SMALLEST = 2**30, 2**9
"""Bytes of the first and the last allocations: PyTorch hands out multiples of 512."""
_held: list[Any] = []


def register() -> None:
    """Listen for the signals in this process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR2, _hang)
        signal.signal(signal.SIGRTMIN + 1, _exhaust)


def _hang(*_: Any) -> None:
    """Start the kernel on the stream on which the model runs."""
    import torch

    print("twopods: this process starts a kernel that does not end", flush=True)
    torch.cuda._sleep(CYCLES)


def _exhaust(*_: Any) -> None:
    """Take the memory in ever smaller pieces, and hold it."""
    import torch

    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    piece = LARGEST
    while piece >= SMALLEST:
        try:
            _held.append(torch.empty(piece, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            piece //= 2
    taken = sum(one.numel() for one in _held)
    print(f"twopods: this process took {taken / 2**30:.2f} GiB, and PyTorch has no more", flush=True)
