"""Takes what is free of a GPU's memory and holds it for some seconds. Needs CUDA's driver and the standard library.

Usage: ``CUDA_VISIBLE_DEVICES=0 python3 -I take_memory.py SECONDS``
"""

from __future__ import annotations

import ctypes
import sys
import time


def main(seconds: float) -> None:
    """Take it in ever smaller pieces, say how much it was, and hold it."""
    driver = ctypes.CDLL("libcuda.so.1")
    context, pointer = ctypes.c_void_p(), ctypes.c_uint64()
    if driver.cuInit(0) or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) or driver.cuCtxSetCurrent(context):
        print("CUDA's driver refuses", flush=True)
        return
    piece, taken = 2**30, 0
    while piece >= 2**21:
        if driver.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(piece)):
            piece //= 2
        else:
            taken += piece
    print(f"took {taken / 2**30:.2f} GiB", flush=True)
    time.sleep(seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]))
