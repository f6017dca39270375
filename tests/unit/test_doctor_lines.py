"""What a line means: a start that goes on has no cause, and an error that no signature knows is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.paths import CHECKOUT
from unit.doctor_data.world import UP, World
from vmn.core.doctor.finding import GroupHealth, Severity
from vmn.core.doctor.levels import Level, level_of
from vmn.core.doctor.milestones import UP as STARTED

HERE = Path(__file__).with_name("doctor_data")
HEALTHY = [
    *sorted(HERE.joinpath("healthy").glob("*.log")),
    *sorted((CHECKOUT / "tests/unit/planning_data/logs").glob("*.log")),
]
"""Logs of starts that went well, over each kind of network and of several versions of vLLM."""
END = "vllm-multinode: vllm serve ended with exit status 1 after 12 s (served: no); the container ends in 30 s"
LOADING = "(Worker_TP0 pid=81) INFO 11-26 10:59:00 [model_runner.py:399] Loading model from scratch..."


def starting(*lines: str) -> World:
    """Return a release whose leader has a log, and has not started."""
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", *lines)
    world.log("vllm-0-1", UP[0])
    return world


def bad(world: World) -> list[tuple[str, str]]:
    """Return the findings that are no notes."""
    found = [item for item in world.say().findings if item.severity is not Severity.NOTE]
    return [(item.id, item.evidence[0].line) for item in found]


@pytest.mark.parametrize("file", HEALTHY, ids=lambda one: one.stem)
def test_start_that_goes_well_has_no_finding_at_any_line(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    for end in (len(lines) // 4, len(lines) // 2, len(lines)):
        world = starting(*lines[:end])
        assert world.say().state is GroupHealth.STARTING
        assert bad(world) == []


@pytest.mark.parametrize("file", HEALTHY, ids=lambda one: one.stem)
def test_start_that_went_well_has_not_even_a_note(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    up = max((place for place, line in enumerate(lines) if STARTED.search(line)), default=len(lines))
    assert starting(*lines[: up + 1]).say().findings == []


@pytest.mark.parametrize("file", HEALTHY, ids=lambda one: one.stem)
def test_failure_after_a_healthy_start_is_not_blamed_on_the_start(file: Path) -> None:
    oom = "(Worker_TP0 pid=81) ERROR 11-26 10:59:01 [x.py:8] torch.OutOfMemoryError: CUDA out of memory."
    found = bad(starting(file.read_text(encoding="utf-8"), oom, END))
    assert found == [("cuda-out-of-memory", oom)]


ENGINE_GONE = "(APIServer pid=19) WARNING 11-29 07:42:32 [core_client.py:839] MPClient: engine core exited unexpectedly"
NCCL_LATE = "vllm-0:207:207 [0] NCCL INFO Initialized NET plugin Socket"


def test_progress_that_nccl_writes_late_does_not_hide_a_failure_after_the_start() -> None:
    assert bad(starting(*UP, ENGINE_GONE, NCCL_LATE, END)) == [("engine-process-died", ENGINE_GONE)]
    assert ENGINE_GONE not in [line for _, line in bad(starting(LOADING, ENGINE_GONE, NCCL_LATE, END))]


def test_api_server_that_failed_by_itself_is_not_called_terminated() -> None:
    own = "ValueError: middleware example.Middleware is neither a class nor a function"
    told = (
        "(MainProcess pid=17) ERROR 11-30 22:41:19 [utils.py:599] RuntimeError: Process ApiServer_1 (PID: 57) died with"
    )
    assert bad(starting(LOADING, f"(ApiServer_1 pid=57) {own}", f"{told} exit code 1", END)) == [("unknown-error", own)]
    assert bad(starting(LOADING, f"{told} exit code -9", END)) == [("api-server-died", f"{told} exit code -9")]


def test_lines_of_a_stack_whose_error_is_cut_off_explain_nothing() -> None:
    logged = "(APIServer pid=19) ERROR 11-29 07:42:33 [serving.py:555]"
    stack = [f'{logged}   File "SITE/vllm/v1/async_llm.py", line 795, in generate', f"{logged}     await q.get()"]
    dead = f"{logged} vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
    assert [name for name, _ in bad(starting(*UP, *stack, dead, END))] == ["engine-dead"]
    told = f"{logged} The model has no heads"
    assert bad(starting(*UP, *stack, told, END)) == [("unknown-error", told.partition("] ")[2])]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("(Worker_TP0 pid=81) INFO 11-26 10:59:00 [gpu_model_runner.py:1] Failed to initialize NVML", Level.REPORT),
        ('(APIServer pid=1) INFO:     10.0.0.1:3 - "GET /v1/models HTTP/1.1" 401 Unauthorized', Level.REPORT),
        ("vllm-0:81:81 [0] NCCL INFO NET/IB : No device found.", Level.REPORT),
        ("[2026-11-28 20:54:05] vllm-0:644:1198 [0] NCCL INFO misc/socket.cc:59 -> 3", Level.REPORT),
        ("[rank0]:[I1126 10:59:01.1 ProcessGroupNCCL.cpp:632] something", Level.REPORT),
        ('{"level": "INFO", "message": "no such host"}', Level.REPORT),
        ("2026-11-26 10:59:01,123 INFO worker.py:1843 -- Connecting", Level.REPORT),
        ("(Worker_TP0 pid=81) Arguments: (HFValidationError('Repo id must be in the form'),)", Level.REPORT),
        ("(APIServer pid=1) WARNING 11-26 10:59:00 [x.py:1] Falling back", Level.WARNING),
        ("/usr/lib/python3/x.py:3: UserWarning: not compatible", Level.WARNING),
        ("ERROR 11-26 10:59:00 [hub.py:1] 503 Server Error; retrying in 2 s", Level.RETRY),
        ("vllm-0:81:81 [0] net.cc:209 NCCL WARN Failed to initialize any NET plugin", Level.NCCL_WARNING),
        ("(Worker_TP0 pid=81) ERROR 11-26 10:59:00 [x.py:1] RuntimeError: INFO is in the words", Level.ERROR),
        ("RuntimeError: a line of a traceback", Level.ERROR),
    ],
)
def test_line_means_what_its_program_says(line: str, level: Level) -> None:
    assert level_of(line) is level


@pytest.mark.parametrize(
    "line",
    [
        "(Worker_TP0 pid=81) WARNING 11-26 10:59:00 [hub.py:3] 429 Client Error: Too Many Requests; waiting",
        "(Worker_TP0 pid=81) ERROR 11-26 10:59:00 [hub.py:3] 401 Client Error, retrying in 3 s",
        "vllm-0:81:81 [0] misc/ibvwrap.cc:262 NCCL WARN Call to ibv_modify_qp failed with 110 Connection timed out",
    ],
)
def test_warning_or_retry_is_no_cause_when_the_start_goes_on(line: str) -> None:
    assert bad(starting(UP[0], line)) == []
    assert bad(starting(UP[0], line, LOADING)) == []
    oom = "torch.OutOfMemoryError: CUDA out of memory."
    assert [name for name, _ in bad(starting(UP[0], line, LOADING, oom, END))] == ["cuda-out-of-memory"]


def test_error_of_a_process_that_goes_on_is_no_cause() -> None:
    line = "(Worker_TP0 pid=81) ERROR 11-26 10:58:00 [fa_utils.py:57] FA3 is only supported on devices of capability 9"
    assert [name for name, _ in bad(starting(UP[0], line))] == ["attention-backend-missing"]
    assert bad(starting(UP[0], line, LOADING)) == []
    other = LOADING.replace("TP0 pid=81", "TP1 pid=82")
    assert [name for name, _ in bad(starting(UP[0], line, other))] == ["attention-backend-missing"]


def test_warning_explains_a_failure_when_nothing_else_does() -> None:
    line = "vllm-0:81:81 [0] misc/ibvwrap.cc:346 NCCL WARN Call to ibv_modify_qp failed with 110 Connection timed out"
    assert bad(starting(UP[0], line, END))[0] == ("rdma-gid", line)


def test_error_is_no_cause_when_the_next_line_announces_a_retry_that_succeeds() -> None:
    failed = (
        "'(MaxRetryError(host='huggingface.co', Temporary failure in name resolution))' thrown while requesting HEAD"
    )
    lines = (failed, "Retrying in 1s [Retry 1/5].")
    assert bad(starting(UP[0], *lines)) == []
    assert bad(starting(UP[0], *lines, LOADING)) == []
    assert bad(starting(UP[0], *lines, END))[0][0] == "hub-unreachable"


def test_error_before_an_announced_retry_is_no_cause_when_a_later_error_explains_itself() -> None:
    lines = ("401 Client Error for url; retrying in 3 s", "ValueError: No valid attention backend found for cuda", END)
    assert bad(starting(UP[0], *lines))[0][0] == "attention-backend-missing"


def test_bare_assertion_is_quoted_with_its_stack_and_stage() -> None:
    prefix = "(Worker_PP1_TP3 pid=81) ERROR 11-26 10:58:04 [multiproc_executor.py:852] "
    stack = (
        "Traceback (most recent call last):",
        '  File "/usr/lib/vllm/v1/worker/gpu_worker.py", line 310, in load_model',
        "    self.model_runner.load_model()",
        '  File "/usr/lib/vllm/model_executor/layers/linear.py", line 77, in weight_loader',
        "    assert param.shape == loaded.shape",
        "           ^^^^^^^^^^^",
        "AssertionError",
    )
    verdict = starting(UP[0], *(prefix + line for line in stack), END).verdict()
    assert verdict.id == "unknown-error"
    assert "while loading the weights (Worker_PP1_TP3), and the cause is not known" in verdict.text
    assert "assert param.shape == loaded.shape" in verdict.text
    quoted = [item.line for item in verdict.evidence]
    assert quoted[0] == "assert param.shape == loaded.shape"
    assert 'File "/usr/lib/vllm/model_executor/layers/linear.py", line 77, in weight_loader' in quoted


def test_error_is_not_called_unknown_when_the_table_has_its_line() -> None:
    line = "(Worker_PP1 pid=81) ERROR 11-26 10:58:01 [x.py:8] RuntimeError: ncclRemoteError: a call failed"
    assert [name for name, _ in bad(starting(UP[0], line, END))] == ["nccl-peer-gone"]


def test_most_telling_line_is_quoted_when_there_is_no_exception() -> None:
    native = "terminate called after throwing an instance of 'c10::Error'"
    verdict = starting(UP[0], LOADING, "a line that tells nothing", native, END).verdict()
    assert (verdict.id, verdict.evidence[0].line) == ("unknown-error", native)
    assert "loading the weights" in verdict.text
    assert "not known" in verdict.text
