"""The program that measures the bandwidth, as far as it needs no PyTorch: NVML, adapters, and its ranks."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters import port_rates
from gpu_health import EventData, NvmlGpu, Observed
from kit.paths import CHART
from node import PASSED
from vmn.adapters.signatures import load_signatures

pytestmark = pytest.mark.slow

FOLDER = CHART / "files" / "bandwidth"


class Driver:
    """NVML of one GPU, which answers as the library does: it writes through pointers and returns a status."""

    def __init__(self, **numbers: int | None) -> None:
        """Let the GPU have some numbers; None is not supported."""
        self.numbers: dict[str, int | None] = {
            **{"reasons": 0x4, "ecc": 0, "pending": 0, "failed": 0, "clock": 1980, "recovery": 0},
            **{"CurrGeneration": 5, "CurrWidth": 16, "MaxGeneration": 5, "MaxWidth": 16},
            **numbers,
        }
        self.xids: list[int] = []

    def __getattr__(self, name: str) -> Any:
        """Return a function of the library."""
        if name in FUNCTIONS:
            return getattr(self, FUNCTIONS[name])
        key = NUMBERS.get(name, name.removeprefix("nvmlDeviceGet").replace("PcieLink", ""))
        if key not in self.numbers:
            raise AttributeError(name)
        return lambda *arguments: self._give(key, arguments[-1])

    def _give(self, key: str, pointer: Any) -> int:
        number = self.numbers[key]
        if number is None:
            return 3  # NVML_ERROR_NOT_SUPPORTED
        pointer._obj.value = number
        return 0

    def _find(self, uuid: bytes, handle: Any) -> int:
        return 0 if uuid == b"GPU-1" else 6  # NVML_ERROR_NOT_FOUND

    def _rows(self, handle: Any, *pointers: Any) -> int:
        return max(self._give(key, pointer) for key, pointer in zip(("pending", "failed"), pointers[2:], strict=True))

    def _fields(self, handle: Any, count: int, pointer: Any) -> int:
        field, number = pointer._obj, self.numbers["recovery"]
        assert (field.field, count) == (230, 1)
        field.status, field.value = (3, 0) if number is None else (0, number)
        return 0

    def _register(self, handle: Any, kinds: Any, events: Any) -> int:
        return 0 if kinds.value == 0x8 else 2  # NVML_ERROR_INVALID_ARGUMENT

    def _event(self, events: Any, pointer: Any, limit: int) -> int:
        if not self.xids:
            return 10  # NVML_ERROR_TIMEOUT
        pointer._obj.data = self.xids.pop(0)
        return 0

    def _done(self, *arguments: Any) -> int:
        return 0


FUNCTIONS = {
    "nvmlInit_v2": "_done",
    "nvmlDeviceGetHandleByUUID": "_find",
    "nvmlDeviceGetRemappedRows": "_rows",
    "nvmlDeviceGetFieldValues": "_fields",
    "nvmlEventSetCreate": "_done",
    "nvmlDeviceRegisterEvents": "_register",
    "nvmlEventSetWait_v2": "_event",
}
NUMBERS = {
    "nvmlDeviceGetCurrentClocksEventReasons": "reasons",
    "nvmlDeviceGetTotalEccErrors": "ecc",
    "nvmlDeviceGetClockInfo": "clock",
}


def observed(driver: Driver) -> dict[str, Any]:
    """Return what is found of a GPU, over some looks."""
    with Observed(NvmlGpu("GPU-1", driver)) as gpu:
        while gpu.looks < 3:
            pass
    return gpu.answer()


def test_healthy_gpu_has_no_errors() -> None:
    assert observed(Driver()) == {
        **{"ecc": 0, "remap_pending": False, "remap_failed": False, "recovery": None, "xids": [], "hears_xids": True},
        **{"throttled": {}, "clock": 1980.0, "pcie": [5, 16, 5, 16]},
    }


@pytest.mark.parametrize(
    ("numbers", "key", "value"),
    [
        ({"ecc": 3}, "ecc", 3),
        ({"pending": 1}, "remap_pending", True),
        ({"failed": 1}, "remap_failed", True),
        ({"recovery": 1}, "recovery", "a reset of the GPU"),
        ({"reasons": 0x8 | 0x40}, "throttled", {"hw_slowdown": 1.0, "hw_thermal": 1.0}),
        ({"reasons": None, "CurrentClocksThrottleReasons": 0x20}, "throttled", {"sw_thermal": 1.0}),
        ({"clock": 345}, "clock", 345.0),
        ({"CurrWidth": 8}, "pcie", [5, 8, 5, 16]),
        ({"ecc": None}, "ecc", None),
        ({"pending": None}, "remap_pending", None),
        ({"recovery": None}, "recovery", None),
        ({"clock": None}, "clock", None),
        ({"MaxWidth": None}, "pcie", None),
    ],
)
def test_gpus_state_is_read(numbers: dict[str, int | None], key: str, value: object) -> None:
    assert observed(Driver(**numbers))[key] == value


def test_xid_errors_during_the_check_are_read() -> None:
    driver = Driver()
    driver.xids = [79, 48]
    assert observed(driver)["xids"] == [79, 48]
    assert ctypes.sizeof(EventData) == 32, "as in nvml.h"


def test_unknown_gpu_and_missing_library_are_errors() -> None:
    with pytest.raises(OSError, match="NVML does not know GPU-2"):
        NvmlGpu("GPU-2", Driver())
    with pytest.raises(OSError, match=r"libnvidia-ml\.so\.1"):
        NvmlGpu("GPU-1")


def test_speed_of_ports_is_that_of_devices_in_the_container(tmp_path: Path) -> None:
    devices, sysfs = tmp_path / "dev", tmp_path / "class"
    texts = {"uverbs0": ("mlx5_0", "4: ACTIVE", "400 Gb/sec (4X NDR)"), "uverbs1": ("mlx5_1", "1: DOWN", "10 Gb/sec")}
    devices.mkdir()
    for number, (name, state, rate) in texts.items():
        (devices / number).touch()
        port = sysfs / "infiniband" / name / "ports" / "1"
        port.mkdir(parents=True)
        (sysfs / "infiniband_verbs" / number).mkdir(parents=True)
        (sysfs / "infiniband_verbs" / number / "ibdev").write_text(f"{name}\n")
        (port / "state").write_text(f"{state}\n")
        (port / "rate").write_text(f"{rate}\n")
    (sysfs / "infiniband" / "mlx5_9" / "ports" / "1").mkdir(parents=True)  # of another container
    assert port_rates(str(devices), str(sysfs)) == {"mlx5_0:1": 400.0}
    assert port_rates("/no/such", "/no/such") == {}


RANK = """
import json, os, sys
import attempts
attempts.count(os.environ["COUNTER"])
print("a line of PyTorch", flush=True)
def run(place, spec, tell):
    whole = {"kind": "bandwidth", "node": None, "text": "too slow", "fix": "Do this.", "fails": True}
    other = {**whole, "node": "node-9", "text": "sends slowly"}
    said = [place.rank, place.world, place.local, place.node, place.host, place.port]
    fails = attempts.made(os.environ["COUNTER"]) <= int(os.environ.get("FAILS", "0"))
    if os.environ.get("DIES"):
        raise SystemExit("ValueError: no such thing")
    problems = [whole, other] if fails else []
    tell({"measured": {}, "summaries": {"bandwidth": json.dumps(said)}, "problems": problems})
    return not fails
"""
ATTEMPTS = """
from pathlib import Path
def count(file):
    with Path(file).open("a") as log:
        log.write("x")
def made(file):
    return len(Path(file).read_text())
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Copy the program, with a rank that needs no PyTorch."""
    folder = Path(shutil.copytree(FOLDER, tmp_path / "program"))
    (folder / "rank.py").write_text(RANK)
    (folder / "attempts.py").write_text(ATTEMPTS)
    return folder


def started(folder: Path, spec: Mapping[str, Any], **env: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the program in a pod of a group; return its status, answers, and log."""
    own = {"PATH": os.environ["PATH"], "VLLM_HOST_IP": "10.0.0.1", "MULTINODE_NODE": "node-1"}
    own |= {"MULTINODE_BANDWIDTH": json.dumps(spec), "COUNTER": str(folder / "count"), **env}
    command = [sys.executable, "-B", str(folder / "bandwidth.py")]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    mark = "vllm-multinode-bandwidth "
    answers = [json.loads(line.removeprefix(mark)) for line in done.stdout.splitlines() if line.startswith(mark)]
    return done.returncode, answers, done.stderr


@pytest.mark.parametrize(
    ("index", "rank", "host"), [("0", 0, "10.0.0.1"), ("1", 2, "vllm-0.vllm.default")], ids=["leader", "worker"]
)
def test_pod_starts_a_rank_for_each_gpu_and_reports_once(program: Path, index: str, rank: int, host: str) -> None:
    group = {"LWS_WORKER_INDEX": index, "LWS_GROUP_SIZE": "2", "LWS_LEADER_ADDRESS": "vllm-0.vllm.default"}
    code, answers, log = started(program, {"gpus": 2, "port": 29501}, **group)
    assert code == 0
    assert (program / "count").read_text() == "xx"
    assert [answer["check"] for answer in answers] == ["bandwidth", "transport", "gpu-health"]
    said = json.loads(answers[0]["summary"])
    assert said[0] in (rank, rank + 1)
    assert said[1:] == [4, said[0] - rank, "node-1", host, 29501]
    assert "a line of PyTorch" in log


def test_problems_of_other_nodes_are_logged_but_not_answered(program: Path) -> None:
    code, answers, log = started(program, {}, FAILS="9")
    assert code == 1
    assert [one["text"] for one in answers[0]["problems"]] == ["too slow"]
    assert "error: node-9: sends slowly. Do this." in log
    assert "error: the group: too slow. Do this." in log
    assert answers[1] == {"check": "transport", "summary": "", "problems": [], "skipped": "the ranks could not measure"}


def test_pod_of_a_group_measures_again_until_nothing_fails(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (program / "node.py").read_text()
    (program / "node.py").write_text(text.replace("SHORTEST_PAUSE = 5", "SHORTEST_PAUSE = 0"))
    code, answers, log = started(program, {"stays": True, "backoff": 0}, FAILS="2")
    assert (code, (program / "count").read_text()) == (0, "xxx")
    assert log.count("vLLM does not start; the next attempt begins in 0 s") == 2
    assert answers == [], "vmn does not read this log"


def test_doctor_knows_that_errors_are_over_after_a_success(program: Path) -> None:
    _, _, log = started(program, {"gpus": 1})
    assert f"vllm-multinode: {PASSED}" in log.splitlines()
    of_the_check = [item for item in load_signatures() if item.id.startswith("bandwidth-")]
    assert len(of_the_check) == 4
    assert all(item.unless and item.unless.search(f"vllm-multinode: {PASSED}") for item in of_the_check)


def test_ranks_that_die_are_a_problem_with_their_last_line(program: Path) -> None:
    code, answers, _ = started(program, {}, DIES="yes")
    assert code == 1
    (problem,) = answers[0]["problems"]
    assert problem["node"] == "node-1"
    assert problem["text"] == "the ranks ended without a result, with exit status 1: ValueError: no such thing"


def test_image_without_pytorch_is_a_problem(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "program"))
    (folder / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    code, answers, _ = started(folder, {})
    assert code == 1
    assert answers[0]["problems"][0]["text"].endswith("ModuleNotFoundError: No module named 'torch'")


def files() -> Iterator[Path]:
    yield from FOLDER.glob("*.py")


def test_program_fits_into_a_configmap() -> None:
    assert sum(file.stat().st_size for file in files()) < 2**19
    assert {file.name for file in files()} >= {"bandwidth.py", "verdict.py"}
