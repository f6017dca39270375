"""``vmn plan`` with a workload, as a user runs it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kit.slowness import in_time
from vmn.cli import main

CALL = ("--prompt-tokens", "1000", "--answer-tokens", "200")
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def plan(*options: str) -> Result:
    return CliRunner().invoke(main, ["plan", MODEL, "--gpu", "h200", "--gpus-per-node", "2", *options])


def speed_of(*options: str) -> dict[str, Any]:
    result = plan(*CALL, "-o", "json", *options)
    assert result.exit_code == 0, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_plan_has_no_speed_without_a_workload() -> None:
    assert "speed" not in json.loads(plan("-o", "json").stdout)["layouts"][0]


def test_json_says_how_fast_each_layout_is_when_requests_come_at_once() -> None:
    for layout in speed_of("--requests", "32")["layouts"]:
        speed = layout["speed"]
        assert bool(speed) == layout["fits"]
        if not speed:
            continue
        assert speed["workload"] == {"prompt_tokens": 1000, "answer_tokens": 200, "requests": 32}
        assert list(speed["makespan_s"]) == ["low", "expected", "high"]
        for name in ("time_to_first_token_s", "time_per_output_token_s", "output_tokens_per_s", "makespan_s"):
            assert 0 < speed[name]["low"] < speed[name]["expected"] < speed[name]["high"]
        assert speed["output_tokens_per_s"]["expected"] == pytest.approx(
            32 * 200 / speed["makespan_s"]["expected"], rel=2e-3
        )


@pytest.mark.parametrize("way", [("--concurrency", "8"), ("--rate", "0.5")])
def test_json_has_no_makespan_when_requests_keep_coming(way: tuple[str, str]) -> None:
    speed = speed_of(*way)["layouts"][0]["speed"]
    assert "makespan_s" not in speed
    assert speed["workload"][way[0].lstrip("-")] == float(way[1])


def test_config_file_of_a_user_can_be_asked(tmp_path: Path) -> None:
    from vmn.adapters.models import registered_model

    file = tmp_path / "config.json"
    file.write_text(json.dumps(dict(registered_model(MODEL).config)), encoding="utf-8")
    asked = ["plan", "--config", str(file), "--gpu", "h200", "--gpus-per-node", "2", *CALL, "--requests", "32"]
    result = CliRunner().invoke(main, [*asked, "-o", "json"])
    own = json.loads(result.stdout)["layouts"][0]["speed"]
    assert own == speed_of("--requests", "32")["layouts"][0]["speed"]


def test_table_shows_speed_targets_and_the_fewest_gpus() -> None:
    text = plan(*CALL, "--concurrency", "8", "--ttft", "1", "--tpot", "0.02").stdout
    assert "8 requests kept running" in text
    assert "targets" in text
    assert "from 1 GPUs on" not in text
    assert "from 1 GPU on: one group of 1 GPU, TP1." in text


def test_table_says_when_targets_can_not_be_held() -> None:
    assert "The targets do not hold on 2 GPUs" in plan(*CALL, "--requests", "900", "--ttft", "0.01").stdout


def test_table_says_when_nothing_was_measured_on_a_gpu() -> None:
    asked = ["plan", MODEL, "--gpu", "l40s", "--gpus-per-node", "2", *CALL, "--requests", "4"]
    text = CliRunner().invoke(main, asked).stdout
    assert "not calibrated" in text
    assert "l40s GPUs" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--prompt-tokens", "10", "--requests", "1"), "--answer-tokens"),
        (("--requests", "1"), "--prompt-tokens"),
        (CALL, "one of --requests, --concurrency, and --rate"),
        ((*CALL, "--requests", "1", "--rate", "1"), "one of --requests, --concurrency, and --rate"),
        ((*CALL, "--requests", "1", "--acceptance-rate", "0.5"), "--speculative-tokens"),
        ((*CALL, "--requests", "0"), "--requests"),
        ((*CALL, "--rate", "-1"), "--rate"),
        ((*CALL, "--rate", "nan"), "--rate"),
        ((*CALL, "--rate", "inf"), "--rate"),
        (("--ttft", "1"), "--prompt-tokens"),
        (("--prompt-tokens", "131000", "--answer-tokens", "200", "--requests", "1"), "more than the 131072 tokens"),
    ],
)
def test_workload_that_makes_no_sense_is_refused(options: tuple[str, ...], words: str) -> None:
    result = plan(*options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_gpu_whose_bandwidth_is_not_known_is_refused() -> None:
    asked = ["plan", MODEL, "--gpu", "mystery", "--gpu-memory", "80", *CALL, "--requests", "1"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "bandwidth of a mystery is not known" in result.stderr


def test_timed_calls_correct_the_speed_and_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "calls.json"
    file.write_text(json.dumps([[1, 64, 64, 0.5], [8, 64, 64, 0.52], [32, 64, 64, 0.6], [8, 2000, 1, 0.3]]))
    options = ("--tensor", "2", "--requests", "8", "--calibrate-speed", str(file))
    before = speed_of("--tensor", "2", "--requests", "8")["layouts"][0]["speed"]
    content = speed_of(*options)
    speed = content["layouts"][0]["speed"]
    assert speed["time_per_output_token_s"]["expected"] > before["time_per_output_token_s"]["expected"]
    assert speed["calibrated"]
    assert len(content["speed_calibration"]["calls"]) == 4
    text = plan(*CALL, *options).stdout
    assert "Calibrated: " in text
    assert "32 at once, 64 + 64 tokens" in text


def test_timed_calls_need_a_workload_and_sound_numbers(tmp_path: Path) -> None:
    file = tmp_path / "calls.json"
    file.write_text("[[1, 2, 3]]")
    assert "needs a workload" in plan("--calibrate-speed", str(file)).stderr
    result = plan(*CALL, "--requests", "1", "--calibrate-speed", str(file))
    assert result.exit_code == 2
    assert "calls.json has no timed calls" in result.stderr


@pytest.mark.slow
def test_plan_of_64_gpus_with_a_workload_takes_less_than_seven_tenths_of_a_second() -> None:
    asked = ["plan", "deepseek-ai/DeepSeek-R1", "--gpu", "h200", "--nodes", "8", "--network", "roce", *CALL]
    times: list[float] = []
    while len(times) < 9 and min(times, default=1.0) >= 0.7:  # processors shared with other programs are slower
        start = time.process_time()
        result = CliRunner().invoke(main, [*asked, "--concurrency", "256", "--ttft", "2", "--tpot", "0.03"])
        times.append(time.process_time() - start)
        assert result.exit_code == 0, result.output
    assert in_time(min(times), 0.7), times
