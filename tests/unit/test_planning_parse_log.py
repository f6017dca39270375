"""Parsing startup logs of many versions: complete, in excerpts, truncated, and mixed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.slowness import in_time
from vmn.core.planning.startup_log.parse import StartupLog, WorkerLog, parse_log

DATA = Path(__file__).parent / "planning_data"
EXCERPTS: list[dict[str, Any]] = json.loads((DATA / "log_excerpts.json").read_text(encoding="utf-8"))
STAGED = (DATA / "logs/dsr1-32L-tp2-pp2.log").read_text(encoding="utf-8")
SINGLE = (DATA / "logs/llama405b-8L-tp1.log").read_text(encoding="utf-8")


def said(worker: WorkerLog) -> dict[str, object]:
    return {key: value for key, value in dataclasses.asdict(worker).items() if value is not None and key != "name"}


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: f"{excerpt['wording']}: {excerpt['source']}")
def test_excerpt_is_read(excerpt: dict[str, Any]) -> None:
    log = parse_log("\n".join(excerpt["lines"]))
    workers = {worker.name: said(worker) for worker in log.workers}
    assert workers.keys() == excerpt["workers"].keys()
    assert {name: {key: workers[name][key] for key in found} for name, found in excerpt["workers"].items()} == excerpt[
        "workers"
    ]
    assert {key: getattr(log, key) for key in excerpt["engine"]} == excerpt["engine"]


def test_log_of_several_stages_is_read_by_worker() -> None:
    log = parse_log(STAGED)
    assert (log.version, log.architecture, log.second_runner) == ("0.26.0", "DeepseekV3ForCausalLM", False)
    assert (log.tokens, log.concurrency, log.concurrency_length) == (2_010_672, 490.89, 4096)
    assert log.batched_tokens == 16_384
    found = {(worker.pipeline, worker.tensor): worker for worker in log.workers}
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [(found[stage, 0].weights_gib, found[stage, 0].available_gib) for stage in (0, 1)] == [
        (71.83, 50.0),
        (87.1, 34.52),
    ]
    assert {worker.activation_gib for worker in log.stage(1, 2)} == {6.94}


def test_log_of_one_gpu_is_read() -> None:
    log = parse_log(SINGLE)
    assert log.second_runner is True
    assert said(log.workers[0]) == {
        "weights_gib": 55.36,
        "activation_gib": 6.41,
        "non_torch_gib": 0.22,
        "graphs_gib": 0.0,
        "available_gib": 66.63,
        "free_gib": 139.29,
        "total_gib": 139.8,
        "utilization": 0.92,
        "budget_gib": 128.62,
    }


def test_settings_are_text_by_name() -> None:
    settings = parse_log(STAGED).settings
    names = ("tensor_parallel_size", "pipeline_parallel_size", "enforce_eager", "max_model_len", "kv_cache_dtype")
    assert [settings[name] for name in names] == ["2", "2", "True", "4096", "auto"]


@pytest.mark.parametrize(
    "prefix", ["[pod/llama-0/vllm] ", "vllm-1  | ", "2026-11-23T10:00:00.5Z stderr F ", "\x1b[36m"]
)
def test_prefixes_and_colors_change_nothing(prefix: str) -> None:
    text = "\n".join(prefix + line for line in STAGED.splitlines())
    assert parse_log(text).workers == parse_log(STAGED).workers


def test_later_start_wins() -> None:
    changed = STAGED.replace("50.0 GiB", "48.0 GiB").replace("2,010,672", "1,900,000")
    log = parse_log(STAGED + changed)
    assert log.tokens == 1_900_000
    assert {worker.available_gib for worker in log.stage(0, 2)} == {48.0}


@pytest.mark.parametrize(
    "text", ["", "\n\n", "\x00\xff", "Model loading took  GiB", "GPU KV cache size: , tokens", "{" * 999]
)
def test_garbage_says_nothing(text: str) -> None:
    assert parse_log(text) == StartupLog()


@given(st.integers(0, len(STAGED)))
def test_log_cut_off_anywhere_is_read_as_far_as_it_goes(end: int) -> None:
    log = parse_log(STAGED[:end])
    assert log.tokens is None or "KV cache size" in STAGED[:end]
    assert all(worker.weights_gib is None or worker.weights_gib <= 100 for worker in log.workers)


KEPT = """\
(vllm-weight-cache-target-0 pid=237) INFO 11-29 23:43:00 [daemon.py:316] Weight cache target daemon rank 0 loaded model (33.86 GiB allocated, 33.87 GiB reserved)
(vllm-weight-cache-target-0 pid=237) INFO 11-29 23:43:03 [model_runner.py:428] Model loading took 0.0 GiB memory and 1.952720 seconds
(Worker pid=1129) INFO 11-29 23:43:34 [utils.py:751] Weights are held outside this process: of the 118.83 GiB utilization budget, 33.86 GiB is externally held and 84.97 GiB remains for the engine's own allocations.
(Worker_PP0 pid=1129) INFO 11-29 23:43:37 [model_runner.py:428] Model loading took 0.0 GiB memory and 2.776230 seconds
(Worker_PP0 pid=1129) INFO 11-29 23:43:47 [gpu_worker.py:772] Available KV cache memory: 81.38 GiB
(Worker_PP0 pid=1129) INFO 11-29 23:43:56 [gpu_worker.py:1066] Free memory on device (103.86/139.8 GiB) on startup. Desired GPU memory utilization is (0.85, 84.97 GiB). Actual usage is 0.0 GiB for consumed memory (weights + non-torch), 3.58 GiB for peak activation
(Worker pid=2383) INFO 11-29 23:44:34 [utils.py:751] Weights are held outside this process: of the 118.83 GiB utilization budget, 33.86 GiB is externally held and 84.97 GiB remains for the engine's own allocations.
(Worker_PP0 pid=2383) INFO 11-29 23:44:36 [model_runner.py:428] Model loading took 0.0 GiB memory and 2.529497 seconds
"""  # noqa: E501 - vLLM 0.33 on an H200, before and after a restart in place
"""The log of a stage whose weights are in a weight daemon."""


def test_weights_in_a_weight_daemon_count_as_those_of_the_engine_once() -> None:
    (worker,) = parse_log(KEPT).workers
    assert (worker.name, worker.pipeline) == ("Worker_PP0", 0)
    found = [worker.weights_gib, worker.consumed_gib, worker.budget_gib, worker.free_gib, worker.available_gib]
    assert found == pytest.approx([33.86, 33.86, 118.83, 137.72, 81.38])


def test_weights_of_an_engine_alone_stay_as_they_are() -> None:
    alone = "\n".join(line for line in KEPT.splitlines() if "externally held" not in line)
    (worker,) = parse_log(alone).workers
    assert (worker.weights_gib, worker.budget_gib) == (0.0, 84.97)


@given(st.lists(st.sampled_from([*STAGED.splitlines(), *SINGLE.splitlines(), "nothing", "{'a': "]), max_size=40))
def test_lines_in_any_order_are_read(lines: list[str]) -> None:
    parse_log("\n".join(lines))


@pytest.mark.parametrize("text", ["9" * 10**6, "(" * 10**6, "1,1." * 10**5, "=" * 10**6, "a'" * 10**5, "INFO " * 10**5])
def test_endless_line_is_parsed_quickly(text: str) -> None:
    begin = process_time()
    parse_log(f"non-default args: {text}\nModel loading took {text} GiB memory\n{STAGED}")
    assert in_time(process_time() - begin, 5)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    parse_log(text)
