"""``vmn plan --check`` and ``--calibrate`` with two complete logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.paths import CHECKOUT
from vmn.cli import main

DATA = CHECKOUT / "tests" / "unit" / "planning_data"
LOGS = {"dsr1-32L-tp2-pp2.log": "dsr1-32L.json", "llama405b-8L-tp1.log": "llama405b-8L.json"}


def plan(log: str, *options: str) -> Result:
    config = str(DATA / "configs" / LOGS[log])
    return CliRunner().invoke(main, ["plan", "--config", config, "--gpu", "h200", *options])


@pytest.mark.parametrize("log", LOGS)
def test_check_agrees_with_a_real_log(log: str) -> None:
    done = plan(log, "--check", str(DATA / "logs" / log))
    assert (done.exit_code, done.output) == (0, f"{log} agrees with the prediction.\n")


def test_check_catches_a_log_of_something_else(tmp_path: Path) -> None:
    text = (DATA / "logs" / "dsr1-32L-tp2-pp2.log").read_text(encoding="utf-8")
    log = tmp_path / "vllm.log"
    log.write_text(text.replace("71.83 GiB", "61.83 GiB"), encoding="utf-8")
    done = plan("dsr1-32L-tp2-pp2.log", "--check", str(log))
    assert done.exit_code == 1
    assert "61.83" in done.output


def test_check_refuses_a_file_that_is_not_a_log(tmp_path: Path) -> None:
    log = tmp_path / "notes.txt"
    log.write_text("nothing of vLLM's\n", encoding="utf-8")
    done = plan("dsr1-32L-tp2-pp2.log", "--check", str(log))
    assert done.exit_code == 2
    assert "no line of vLLM about memory" in done.output


def test_calibrate_narrows_the_band_and_keeps_the_truth_in_it() -> None:
    log = "dsr1-32L-tp2-pp2.log"
    options = ["--gpus-per-node", "4", "--tensor", "2", "--pipeline", "2", "--max-model-len", "4096", "-o", "json"]
    options += ["--vllm-version", "0.26.0", "--max-num-batched-tokens", "16384", "--enforce-eager"]
    before, after = plan(log, *options), plan(log, *options, "--calibrate", str(DATA / "logs" / log))
    bands = [json.loads(done.stdout)["layouts"][0]["kv_cache_tokens"] for done in (before, after)]
    widths = [band["high"] - band["low"] for band in bands]
    assert widths[1] < widths[0]
    assert bands[1]["low"] <= 2_010_672 <= bands[1]["high"]
    assert "in the log, predicted" in after.stderr
