"""A plugin of vLLM: SIGUSR2 lets a process start a kernel on its GPU that does not end for hours.

It stands for a rank that hangs in the GPU's driver or in a kernel, which can't be had from outside. A scenario puts it
into its pods with ``"env": {"worker": {"PYTHONPATH+": "INSTRUMENTS"}}``.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

CYCLES = 10**13
"""More than an hour at 2 GHz."""


def register() -> None:
    """Listen for the signal in this process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR2, _hang)


def _hang(*_: Any) -> None:
    """Start the kernel on the stream on which the model runs."""
    import torch

    print("twopods: this process starts a kernel that does not end", flush=True)
    torch.cuda._sleep(CYCLES)
