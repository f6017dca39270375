"""``vmn generate``: its file installs, and the command in its header writes the file again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kit.paths import CHART
from kit.render import helm_program, render
from vmn.adapters.models import registered_model
from vmn.app.validation import values_problems
from vmn.cli import main

R1 = ["deepseek-ai/DeepSeek-R1", "--gpu", "h100", "--nodes", "2"]
RECIPE = {"reasoning-parser": "deepseek_r1"}
"""The flags of its recipe."""


def generate(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["generate", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        R1,
        ["deepseek-ai/DeepSeek-R1", "--gpu", "h200", "--tensor", "1", "--data", "8", "--expert"],
        ["meta-llama/Llama-3.3-70B-Instruct", "--gpu", "l40s", "--max-model-len", "32768", "--enforce-eager"],
        ["Qwen/Qwen3-235B-A22B-Instruct-2507", "--gpu", "h100", "--kv-cache-dtype", "fp8", "--load-gbps", "1"],
    ],
    ids=["R1", "data parallel", "flags", "slow download"],
)
def test_values_render_with_the_layout_that_was_planned(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(generate(*arguments), encoding="utf-8")
    argv = render(None, file).templates()["leader"]["spec"]["containers"][0]["args"]
    asked = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    for option in ("--tensor", "--data"):
        if option in asked:
            assert argv[argv.index(f"{option}-parallel-size") + 1] == asked[option]
    for flag in ("--max-model-len", "--kv-cache-dtype"):
        if flag in asked:
            assert argv[argv.index(flag) + 1] == asked[flag]
    assert ("--enforce-eager" in argv) == ("--enforce-eager" in arguments)


def test_header_s_command_writes_the_same_file() -> None:
    text = generate(*R1, "--load-gbps", "25", "--max-num-seqs", "256")
    command = next(line for line in text.splitlines() if line.startswith("# Written by: "))
    assert generate(*shlex.split(command.removeprefix("# Written by: "))[2:]) == text


def test_variables_become_values_and_part_of_the_command(tmp_path: Path) -> None:
    given = ["--env", "VLLM_USE_FLASHINFER_SAMPLER=0", "--env", "VLLM_PP_LAYER_PARTITION=31,30"]
    text = generate(*R1, *given)
    assert yaml.safe_load(text)["engine"]["env"] == {
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_PP_LAYER_PARTITION": "31,30",
    }
    command = next(line for line in text.splitlines() if line.startswith("# Written by: "))
    assert generate(*shlex.split(command.removeprefix("# Written by: "))[2:]) == text
    unknown = CliRunner().invoke(main, ["generate", *R1, "--env", "VLLM_USE_FLASHINFER_SAMPLER=yes"])
    assert unknown.exit_code == 2
    assert "takes 0 or 1" in unknown.output


def test_values_hold_only_what_differs_from_the_defaults() -> None:
    values = yaml.safe_load(generate(*R1))
    assert "group" not in values
    assert "parallelism" not in values
    assert values["model"] == {"name": "deepseek-ai/DeepSeek-R1", "maxLength": 163840}


def test_context_is_shortened_to_what_surely_fits() -> None:
    text = generate("meta-llama/Llama-3.1-8B-Instruct", "--gpu", "l4", "--gpus-per-node", "1")
    length = yaml.safe_load(text)["model"]["maxLength"]
    assert length % 1024 == 0
    assert 8192 < length < 131072
    assert "of the model's 131072" in text


def test_stages_are_not_added_for_a_context_that_is_hardly_longer() -> None:
    text = generate("mistralai/Mistral-Large-Instruct-2411", "--gpu", "h100", "--gpus-per-node", "4")
    values = yaml.safe_load(text)
    assert "Next best layout: tensor 2, pipeline 2" in text
    assert "parallelism" not in values
    assert values["model"]["maxLength"] < 131072


def test_startup_budget_follows_from_size_and_bandwidth() -> None:
    assert "startup" not in yaml.safe_load(generate(*R1))
    slow = yaml.safe_load(generate(*R1, "--load-gbps", "1"))["startup"]["budgetSeconds"]
    assert slow >= 688586727753 * 8 / 1e9 + 1800


def test_token_is_needed_only_for_a_gated_model() -> None:
    assert yaml.safe_load(generate(*R1))["auth"]["huggingFace"]["optional"] is True
    gated = generate("meta-llama/Llama-3.3-70B-Instruct", "--gpu", "h100")
    assert "optional" not in yaml.safe_load(gated)["auth"]["huggingFace"]


def test_nothing_is_written_when_nothing_fits(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    arguments = ["generate", "deepseek-ai/DeepSeek-R1", "--gpu", "l4", "--write", str(file)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "no layout fits" in done.stderr
    assert not file.exists()


def test_file_is_written_when_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    done = CliRunner().invoke(main, ["generate", *R1, "--write", str(file)])
    assert done.exit_code == 0
    assert done.stdout == ""
    assert file.read_text(encoding="utf-8") == generate(*R1)


def test_name_of_the_model_is_asked_for_when_only_its_shapes_are_given(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    shapes = registered_model("Qwen/Qwen3-8B").config
    config.write_text(json.dumps({**shapes, "_name_or_path": "/data/exports/Qwen3-8B/"}), encoding="utf-8")
    arguments = ["generate", "--config", str(config), "--gpu", "h100", "--gpus-per-node", "1"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "Give MODEL" in done.stderr
    text = generate("my-team/Qwen3-8B", *arguments[1:])
    assert "  name: my-team/Qwen3-8B\n" in text
    assert "with the shapes of that file." in text
    assert "the model is open" not in text


def test_requests_of_a_step_are_limited_to_the_blocks_of_states() -> None:
    text = generate("Qwen/Qwen3.5-27B", "--gpu", "h100", "--gpus-per-node", "1")
    assert 1 <= yaml.safe_load(text)["engine"]["args"]["max-num-seqs"] <= 420


GOAL = ["--prompt-tokens", "2000", "--answer-tokens", "500", "--concurrency", "64"]


@pytest.mark.parametrize("goal", ["throughput", "latency", "context"])
def test_file_for_a_goal_installs_and_says_why(goal: str, tmp_path: Path) -> None:
    text = generate(*R1, "--for", goal, *GOAL, "--speculative-tokens", "1", "--acceptance-rate", "0.8")
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    argv = render(None, file).templates()["leader"]["spec"]["containers"][0]["args"]
    assert f"# Chosen for {goal}, with 2,000 prompt tokens" in text
    arguments = (yaml.safe_load(text).get("engine") or {}).get("args") or {}
    assert arguments.items() >= RECIPE.items()
    for flag, value in ((flag, value) for flag, value in arguments.items() if flag not in RECIPE):
        given = argv[argv.index(f"--{flag}") + 1]
        assert json.loads(given) == value if isinstance(value, dict) else given == str(value)
        assert f"{flag}: " in text
        assert " # " in next(line for line in text.splitlines() if line.strip().startswith(f"{flag}:"))


def test_command_of_a_file_for_a_goal_writes_the_same_file() -> None:
    text = generate(*R1, "--for", "context", *GOAL, "--tpot", "0.05")
    command = next(line for line in text.splitlines() if line.startswith("# Written by: "))
    assert generate(*shlex.split(command.removeprefix("# Written by: "))[2:]) == text


@pytest.mark.parametrize("options", [["--for", "latency"], GOAL])
def test_goal_and_workload_need_each_other(options: list[str]) -> None:
    result = CliRunner().invoke(main, ["generate", *R1, *options])
    assert result.exit_code == 2
    assert "need each other" in result.stderr


@pytest.mark.parametrize(
    ("balancer", "options", "flag"),
    [
        ("external", ["--nodes", "2"], "--data-parallel-multi-port-external-lb"),
        ("hybrid", ["--nodes", "2"], "--data-parallel-hybrid-lb"),
        ("external", ["--nodes", "2", "--data", "2"], "--data-parallel-external-lb"),
    ],
)
def test_layout_has_replicas_when_something_chooses_among_them(
    balancer: str, options: list[str], flag: str, tmp_path: Path
) -> None:
    arguments = ["deepseek-ai/DeepSeek-R1", "--gpu", "h200", *options, "--data-load-balancer", balancer]
    text = generate(*arguments)
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    assert flag in render(None, file).templates()["leader"]["spec"]["containers"][0]["args"]
    command = next(line for line in text.splitlines() if line.startswith("# Written by: "))
    assert generate(*shlex.split(command.removeprefix("# Written by: "))[2:]) == text


@pytest.mark.parametrize(
    "options", [["meta-llama/Llama-3.3-70B-Instruct"], ["deepseek-ai/DeepSeek-R1", "--data", "1"]], ids=["dense", "one"]
)
def test_nothing_is_written_when_there_is_nothing_to_choose(options: list[str]) -> None:
    done = CliRunner().invoke(main, ["generate", *options, "--gpu", "h200", "--data-load-balancer", "external"])
    assert done.exit_code == 1
    assert "no layout fits" in done.stderr


def test_offloading_per_gpu_becomes_a_value_with_a_layout_that_allows_it(tmp_path: Path) -> None:
    arguments = ["deepseek-ai/DeepSeek-R1", "--gpu", "h200", "--nodes", "2", "--kv-offloading-per-gpu", "96"]
    text = generate(*arguments)
    values = yaml.safe_load(text)
    assert values["kvCache"] == {"offloadingSizePerGpu": "96Gi"}
    assert values["parallelism"]["data"] > 1
    assert "768Gi per node hold " in text
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    assert "--kv-offloading-size" in render(None, file).templates()["leader"]["spec"]["containers"][0]["args"]


MTP = '{"method": "mtp", "num_speculative_tokens": 2}'


@pytest.mark.parametrize(("config", "tokens"), [(MTP, 2), ('{"method": "deepseek_mtp"}', 1)])
def test_drafted_tokens_become_the_chart_s_value(config: str, tokens: int, tmp_path: Path) -> None:
    text = generate(*R1, "--speculative-config", config)
    assert yaml.safe_load(text)["engine"] == {"speculativeTokens": tokens, "args": RECIPE}
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    assert values_problems(CHART, file, helm=str(helm_program())) == []


def test_more_than_the_number_of_drafted_tokens_stays_a_flag() -> None:
    config = {"method": "mtp", "num_speculative_tokens": 1, "moe_backend": "triton"}
    text = generate(*R1, "--speculative-config", json.dumps(config), "--max-num-seqs", "64")
    args = yaml.safe_load(text)["engine"]["args"]
    assert args == {"speculative-config": config, "max-num-seqs": 64, **RECIPE}
    assert "speculativeTokens" not in text


def test_goal_with_accepted_drafts_sets_the_chart_s_value() -> None:
    text = generate(*R1, "--for", "latency", *GOAL, "--speculative-tokens", "1", "--acceptance-rate", "0.9")
    line = next(line for line in text.splitlines() if "speculativeTokens" in line)
    assert line.startswith("  speculativeTokens: 1 # 90% of the drafts are accepted")


def test_values_have_the_flags_of_the_model_s_recipe() -> None:
    text = generate("moonshotai/Kimi-K3", "--gpu", "h200", "--nodes", "2")
    values = yaml.safe_load(text)
    flags = {"reasoning-parser": "kimi_k3", "tool-call-parser": "kimi_k3", "enable-auto-tool-choice": True}
    assert values["engine"]["args"] == flags
    assert values["model"]["trustRemoteCode"] is True
    assert registered_model("moonshotai/Kimi-K3").serving.source in text


def test_values_have_no_flags_when_no_recipe_is_known() -> None:
    values = yaml.safe_load(generate("meta-llama/Llama-3.3-70B-Instruct", "--gpu", "l40s"))
    assert "engine" not in values
    assert "trustRemoteCode" not in values["model"]
