"""What ``vmn validate`` says of flags and variables that a version of vLLM refuses or does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.paths import CHART, CI_VALUES, MAIN_PRESETS, OTHER_PRESETS, name_of
from vmn.adapters.files import read_app_version, read_values
from vmn.adapters.vllm_interface import interface_of, load_interface, load_renamed
from vmn.core.values.vllm_interface import interface_from
from vmn.core.values.vllm_rules import vllm_problems
from vmn.core.values.yaml import effective

SMALL = interface_from(
    {
        "version": "0.32.1",
        "flags": {
            "seats": {"type": "integer", "range": {"ge": 1}},
            "share": {"type": "number", "range": {"gt": 0, "le": 1}},
            "tokens": {"type": "size"},
            "kernel": {"type": "text", "choices": ["fast", "slow"]},
            "mode": {"type": "folded", "choices": ["deep_gemm", "auto"]},
            "config": {"type": "json"},
            "eager-start": {"type": "boolean"},
            "quiet": {"type": "switch"},
            "names": {"type": "text", "values": "+"},
            "plugin": {"type": "text", "repeated": True},
            "parser": {"type": "text"},
            "parser-plugin": {"type": "text"},
        },
        "variables": ["VLLM_PORT_RANGE", "VLLM_LOG_STATS"],
    }
)
"""A small version of vLLM."""
RENAMED = {"old-flag": "Set parser instead."}


def said(args: dict[str, Any] | None = None, env: dict[str, str] | None = None) -> dict[str, str]:
    """Return the messages about values, by key."""
    values = {"engine": {"args": args or {}, "env": env or {}}}
    return {item.key.split(".", 2)[2]: item.message for item in vllm_problems(values, SMALL, RENAMED)}


@pytest.mark.parametrize(
    "args",
    [
        {"seats": 4, "share": 0.5, "tokens": "8k", "kernel": "fast", "config": {"a": 1}},
        {"seats": "4", "share": 1, "tokens": 8192, "config": '{"a": 80m}', "mode": "DEEP-GEMM"},
        {"eager-start": True, "quiet": True, "names": ["a", "b"], "plugin": ["a", "b"]},
        {"eager-start": False, "no-eager-start": True, "names": ["a"], "kernel": ["slow"]},
        {"config.a.b": 1, "config.list+": "x", "unknown": None, "tokens": "auto"},
        {"eager": True, "sea": 3},
        {"parser": "x", "parser-": "x"},
    ],
)
def test_flag_is_taken_when_the_parser_of_vllm_takes_it(args: dict[str, Any]) -> None:
    assert said(args) == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("seat", 0, "is out of range: it must be at least 1 (got 0)"),
        ("share", 1.5, "above 0 and at most 1 (got 1.5)"),
        ("seats", "many", "is not an integer"),
        ("seats", 1.5, "is not an integer"),
        ("share", "half", "is not a number"),
        ("tokens", "8 GiB", "is not an integer, such as 8192 or 8k"),
        ("kernel", "fats", "Write fast."),
        ("kernel", True, "needs a value (got true). Give it one of fast, slow."),
        ("config", "{a: 1}", "is not JSON"),
        ("eager-start", "true", 'takes no value (got "true"). Write true or false, without quotes.'),
        ("quiet", False, "has no negative form (got false). Use null"),
        ("seats", [1, 2], "takes one value, and not 2"),
        ("seats.a", 1, "gives a key, but --seats takes an integer"),
        ("pars", "x", "abbreviates several flags of vLLM 0.32: parser, parser-plugin"),
        ("old-flag", "x", 'is not a flag of `vllm serve` in vLLM 0.32, which ends at the start (got "x"). Set parser'),
        ("eager-strat", True, "Write eager-start, or remove it."),
        ("no-quiet", True, "is not a flag"),
    ],
)
def test_flag_is_named_with_what_is_right_when_vllm_refuses_it(name: str, value: object, words: str) -> None:
    found = said({name: value})
    assert list(found) == [name]
    assert words in found[name]


def test_variable_is_named_with_what_is_right_when_nothing_reads_it() -> None:
    env = {
        "VLLM_PARSER": "x",
        "VLLM_LOGSTATS": "1",
        "VLLM_NOTHING_LIKE_IT": "1",
        "VLLM_PORT_RANGE": "1",
        "NCCL_DEBUG": "INFO",
    }
    assert said(env=env) == {
        "VLLM_PARSER": 'is a variable that vLLM 0.32 does not read (got "x"). Set parser in engine.args instead.',
        "VLLM_LOGSTATS": 'is a variable that vLLM 0.32 does not read (got "1"). Write VLLM_LOG_STATS, or remove it.',
        "VLLM_NOTHING_LIKE_IT": 'is a variable that vLLM 0.32 does not read (got "1"). Remove it.',
    }


@pytest.mark.parametrize("version", ["0.32", "0.33"])
@pytest.mark.parametrize("file", [*MAIN_PRESETS, *CI_VALUES, *OTHER_PRESETS, *valid_cases()], ids=name_of)
def test_values_that_work_are_accepted(file: Path, version: str) -> None:
    values = effective(read_values(CHART / "values.yaml"), read_values(file))
    interface = load_interface(version)
    assert interface
    assert vllm_problems(values, interface, load_renamed()) == []


RECIPES: list[dict[str, Any]] = [
    {"enable-auto-tool-choice": True, "tool-call-parser": "kimi_k2", "reasoning-parser": "kimi_k2"},
    {"attention-backend": "FLASHMLA", "all2all-backend": "deepep_low_latency", "enable-dbo": True},
    {"kv-cache-dtype": "fp8", "max-num-batched-tokens": 8192, "gpu-memory-utilization": 0.95, "max-num-seqs": 512},
    {"speculative-config": {"method": "mtp", "num_speculative_tokens": 3}, "enable-prefix-caching": False},
    {"compilation-config": '{"cudagraph_mode": "FULL_DECODE_ONLY"}', "async-scheduling": True},
    {"limit-mm-per-prompt.video": 0, "mm-encoder-tp-mode": "data", "mm-processor-cache-gb": 0},
    {"block-size": 256, "hf-overrides": {"num_hidden_layers": 4}, "tokenizer-mode": "auto", "load-format": "dummy"},
    {"enable-eplb": True, "eplb-config": {"num_redundant_experts": 32}, "moe-backend": "deep_gemm"},
    {"kv-transfer-config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}, "disable-log-stats": True},
    {"enforce-eager": True, "safetensors-load-strategy": "prefetch", "seed": 0, "chat-template": "/models/x.jinja"},
]
"""Flags as the model pages of vLLM combine them."""


@pytest.mark.parametrize("version", ["0.32", "0.33"])
@pytest.mark.parametrize("args", RECIPES, ids=lambda one: next(iter(one)))
def test_flags_of_model_pages_are_accepted(args: dict[str, Any], version: str) -> None:
    interface = load_interface(version)
    assert interface
    assert vllm_problems({"engine": {"args": args}}, interface, load_renamed()) == []


def test_table_of_the_chart_s_own_version_exists() -> None:
    assert load_interface(".".join(read_app_version(CHART).split(".")[:2]))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ({"repository": "vllm/vllm-openai"}, "0.32"),
        ({"repository": "mirror.example/vllm/vllm-openai", "tag": "v0.32.1-cu129"}, "0.32"),
        ({"repository": "mirror.example/llm/vllm-ray", "tag": "v0.32.0-ray2.56.1"}, "0.32"),
        ({"repository": "vllm/vllm-openai", "tag": "v0.33.0"}, "0.33"),
        ({"repository": "vllm/vllm-openai", "tag": "v0.11.0"}, None),
        ({"repository": "vllm/vllm-openai", "tag": "nightly"}, None),
        ({"repository": "vllm/vllm-openai", "digest": "sha256:00"}, None),
        ({"repository": "example/own-vllm", "tag": "v0.32.0"}, None),
    ],
)
def test_only_known_versions_of_the_published_images_are_checked(image: dict[str, str], version: str | None) -> None:
    found = interface_of({"image": image}, "0.32.0")
    assert (found.version if found else None) == version
