"""What the driver says about one GPU while it works: ECC errors, XID errors, throttled clocks, and its PCIe link.

It asks NVML, the library under nvidia-smi, which the container runtime puts into a pod with GPUs. Names, numbers, and
structures are those of nvidia-ml-py 13.615.71 (pynvml.py).
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from types import TracebackType
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
SUCCESS = 0
UNCORRECTED, VOLATILE = 1, 0
"""NVML_MEMORY_ERROR_TYPE_UNCORRECTED, and NVML_VOLATILE_ECC: since the last reset of the GPU."""
CLOCK_SM = 1
XID_EVENT = 0x8
"""nvmlEventTypeXidCriticalError"""
RECOVERY_FIELD = 230
"""NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"""
RECOVERY = {
    1: "a reset of the GPU",
    2: "a restart of the node",
    3: "to drain peer-to-peer traffic",
    4: "to drain and reset the GPU",
    5: "to recover the IMEX domain",
    6: "a reset of the bus",
    7: "a restart of the system",
}
"""NVML_GPU_RECOVERY_ACTION_…; what the driver asks for after an error from which it can't recover (XID 154)."""
REASONS = {0x8: "hw_slowdown", 0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "hw_power_brake"}
"""nvmlClocksEventReason… under which a GPU is slower than others of its kind, with the names of DCGM's exporter. Left
out are an idle GPU, settings of an administrator, and the power cap, which any GPU reaches under full load."""
PERIOD = 0.05
"""Seconds between two looks at the clocks."""
MOST_EVENTS = 20


class FieldValue(ctypes.Structure):
    """nvmlFieldValue_t."""

    _fields_ = (
        ("field", ctypes.c_uint32),
        ("scope", ctypes.c_uint32),
        ("timestamp", ctypes.c_int64),
        ("latency", ctypes.c_int64),
        ("kind", ctypes.c_uint32),
        ("status", ctypes.c_uint32),
        ("value", ctypes.c_ulonglong),
    )


class EventData(ctypes.Structure):
    """nvmlEventData_t."""

    _fields_ = (
        ("device", ctypes.c_void_p),
        ("kind", ctypes.c_ulonglong),
        ("data", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint32),
        ("compute", ctypes.c_uint32),
    )


class NvmlGpu:
    """One GPU of this container, asked through NVML."""

    def __init__(self, uuid: str, library: Any = None) -> None:
        """Find the GPU.

        Args:
            uuid: such as ``GPU-…``.
            library: NVML, loaded by default.

        Raises:
            OSError: NVML is not in the container, or does not know the GPU.
        """
        self.library = library or ctypes.CDLL(LIBRARY)
        self.handle = ctypes.c_void_p()
        if self._code("nvmlInit_v2") != SUCCESS:
            raise OSError("NVML can't be initialized: the driver does not answer")
        if self._code("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self.handle)) != SUCCESS:
            raise OSError(f"NVML does not know {uuid}")

    def errors(self) -> dict[str, Any]:
        """Return the errors that the driver counts; None for what this GPU or driver does not tell."""
        pending, failed = ctypes.c_uint(), ctypes.c_uint()
        others = (ctypes.c_uint(), ctypes.c_uint())
        counters = [ctypes.byref(one) for one in (*others, pending, failed)]
        remaps = self._code("nvmlDeviceGetRemappedRows", self.handle, *counters) == SUCCESS
        return {
            "ecc": self._number("nvmlDeviceGetTotalEccErrors", UNCORRECTED, VOLATILE, kind=ctypes.c_ulonglong),
            "remap_pending": bool(pending.value) if remaps else None,
            "remap_failed": bool(failed.value) if remaps else None,
            "recovery": self._recovery(),
        }

    def clock(self) -> int | None:
        """Return the clock of the GPU's processors in MHz."""
        return self._number("nvmlDeviceGetClockInfo", CLOCK_SM)

    def throttled(self) -> list[str]:
        """Return why the clocks are lower than they should be."""
        mask = self._number("nvmlDeviceGetCurrentClocksEventReasons", kind=ctypes.c_ulonglong)
        if mask is None:  # drivers before 535
            mask = self._number("nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong)
        return [name for bit, name in REASONS.items() if (mask or 0) & bit]

    def pcie(self) -> list[int | None]:
        """Return generation and width of the PCIe link now, and the highest that GPU and slot have in common."""
        parts = ("Curr", "Generation"), ("Curr", "Width"), ("Max", "Generation"), ("Max", "Width")
        return [self._number(f"nvmlDeviceGet{when}PcieLink{what}") for when, what in parts]

    def listen(self) -> ctypes.c_void_p | None:
        """Have XID errors reported from now on, and return where."""
        events = ctypes.c_void_p()
        done = self._code("nvmlEventSetCreate", ctypes.byref(events)) == SUCCESS
        listens = (
            done
            and self._code("nvmlDeviceRegisterEvents", self.handle, ctypes.c_ulonglong(XID_EVENT), events) == SUCCESS
        )
        return events if listens else None

    def xids(self, events: ctypes.c_void_p) -> list[int]:
        """Return the XID errors that were reported."""
        found: list[int] = []
        while len(found) < MOST_EVENTS:
            data = EventData()
            if self._code("nvmlEventSetWait_v2", events, ctypes.byref(data), 0) != SUCCESS:  # none are left
                break
            found.append(int(data.data))
        return found

    def _recovery(self) -> str | None:
        field = FieldValue(field=RECOVERY_FIELD)
        asked = self._code("nvmlDeviceGetFieldValues", self.handle, 1, ctypes.byref(field)) == SUCCESS
        return RECOVERY.get(int(field.value) & 0xFFFFFFFF) if asked and field.status == SUCCESS else None

    def _number(self, function: str, *arguments: int, kind: Any = ctypes.c_uint) -> int | None:
        result = kind()
        code = self._code(function, self.handle, *arguments, ctypes.byref(result))
        return int(result.value) if code == SUCCESS else None

    def _code(self, function: str, *arguments: Any) -> int:
        try:
            return int(getattr(self.library, function)(*arguments))
        except AttributeError:  # the driver is older than the function
            return -1


class Observed:
    """A GPU under observation during a measurement."""

    def __init__(self, gpu: NvmlGpu) -> None:
        """Observe a GPU from entry to exit."""
        self.gpu = gpu
        self.reasons: Counter[str] = Counter()
        self.looks = 0
        self.clocks: list[int] = []
        self.links: list[list[int | None]] = []
        self.found: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._events = gpu.listen()

    def __enter__(self) -> Observed:
        """Start to look."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        """End the observation, and collect the XID errors."""
        self._over.set()
        self._thread.join()
        if self._events is not None:
            self.found = self.gpu.xids(self._events)

    def _look(self) -> None:
        while not self._over.wait(PERIOD):
            self.looks += 1
            self.reasons.update(self.gpu.throttled())
            clock = self.gpu.clock()
            if clock is not None:
                self.clocks.append(clock)
            self.links.append(self.gpu.pcie())

    def answer(self) -> dict[str, Any]:
        """Return everything that was found; shares are of the looks."""
        known = [link for link in self.links if None not in link]
        return {
            **self.gpu.errors(),
            "xids": self.found,
            "hears_xids": self._events is not None,
            "throttled": {name: count / self.looks for name, count in sorted(self.reasons.items())},
            "clock": sum(self.clocks) / len(self.clocks) if self.clocks else None,
            "pcie": max(known, key=lambda link: (link[0] or 0) * (link[1] or 0)) if known else None,
        }
