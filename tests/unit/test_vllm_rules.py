"""What ``vmn validate`` says of flags and variables that a version of vLLM refuses or does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.paths import CHART, CI_VALUES, MAIN_PRESETS, OTHER_PRESETS, name_of
from vmn.adapters.files import read_app_version, read_values
from vmn.adapters.vllm_interface import load_interface, load_renamed, version_of
from vmn.core.values.vllm_interface import interface_from
from vmn.core.values.vllm_rules import vllm_problems
from vmn.core.values.yaml import effective

SMALL = interface_from(
    {
        "version": "0.32.1",
        "flags": {
            "seats": {"type": "integer", "shape": {"type": "integer", "minimum": 1}},
            "share": {"type": "number", "shape": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}},
            "tokens": {"type": "size"},
            "kernel": {"type": "text", "choices": ["fast", "slow"]},
            "mode": {"type": "folded", "choices": ["deep_gemm", "auto"]},
            "config": {"type": "config", "shape": {"$ref": "Config"}, "short": ["cc"]},
            "spec": {"type": "json", "optional": True, "hyphens": True, "shape": {"$ref": "Spec"}},
            "limits": {"type": "json"},
            "overrides": {"type": "json-or-text", "shape": {"type": "object"}},
            "backend": {"type": "text", "shape": {"anyOf": [{"words": ["FLASH_MLA", "TRITON"]}, {"type": "null"}]}},
            "adapters": {"type": "lora", "values": "+"},
            "sizes": {"type": "integer", "values": "+", "shape": {"type": "integer", "minimum": 0}},
            "eager-start": {"type": "boolean"},
            "quiet": {"type": "switch"},
            "names": {"type": "text", "values": "+"},
            "plugin": {"type": "text", "repeated": True},
            "parser": {"type": "text"},
            "parser-plugin": {"type": "text"},
            "tool-call-parser": {"type": "text", "registered": ["kimi", "qwen"]},
            "tool-parser-plugin": {"type": "text"},
            "enable-auto-tool-choice": {"type": "boolean"},
        },
        "shapes": {
            "Config": {
                "type": "object",
                "properties": {
                    "mode": {"anyOf": [{"enum": [0, 1, 2, 3]}, {"words": ["NONE", "COMPILE"]}, {"type": "null"}]},
                    "passes": {"$ref": "Passes"},
                    "sizes": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
                    "depth": {"type": "integer", "exclusiveMinimum": 0},
                    "share": {"anyOf": [{"type": "number", "maximum": 1}, {"type": "null"}]},
                    "on": {"type": "boolean"},
                    "note": {"type": "string"},
                    "kind": {"enum": ["ring", "tree"], "type": "string"},
                    "more": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
                "additionalProperties": False,
            },
            "Passes": {
                "type": "object",
                "properties": {"fuse": {"type": "boolean"}},
                "additionalProperties": False,
            },
            "Spec": {
                "type": "object",
                "properties": {"method": {"enum": ["mtp", "eagle"]}, "num_tokens": {"type": "integer"}},
                "required": ["method"],
                "additionalProperties": False,
            },
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
        {"seats": 4, "share": 0.5, "tokens": "8k", "kernel": "fast", "config": {"depth": 1}},
        {"seats": "4", "share": 1, "tokens": 8192, "config": '{"depth": 80m}', "mode": "DEEP-GEMM"},
        {"eager-start": True, "quiet": True, "names": ["a", "b"], "plugin": ["a", "b"]},
        {"no-eager-start": True, "names": ["a"], "kernel": ["slow"], "seats": 4.0, "tokens": "25.6k"},
        {"config.depth": "80m", "config.sizes+": "1,2", "unknown": None, "tokens": "8K"},
        {"config.passes.fuse": True, "config.sizes": [1, 2], "config.mode": "compile", "config.note": "x y"},
        {"eager": True, "sea": 3, "overrides.rope.factor": 2, "limits.image": 4},
        {"parser": "x", "parser-": "x", "limits": "[1]", "overrides": {"a": [1]}},
        {
            "config": {
                "mode": 3,
                "passes": {"fuse": "on"},
                "sizes": ["1", 2.0],
                "share": "0.5",
                "on": 1,
                "more": {"a": 1},
            }
        },
        {"config": {"mode": None, "kind": "ring", "note": "", "share": None}},
        {"spec": {"method": "mtp", "num-tokens": 3}, "backend": "flash_mla", "sizes": [1, 2]},
        {"spec": "", "adapters": ["a=/models/a", '{"name": "b", "path": "/models/b"}']},
        {"spec.method": "mtp", "spec.num-tokens": 3},
        {"enable-auto-tool-choice": True, "tool-call-parser": "kimi"},
        {"tool-call-parser": "own", "tool-parser-plugin": "/models/own.py"},
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
        ("seats", "4.0", "is not an integer"),
        ("seats", "", "is not an integer"),
        ("share", "half", "is not a number"),
        ("share", -0.5, "begins with a dash, so that vLLM takes it for another flag"),
        ("share", "nan", "is out of range"),
        ("names", ["a", "-b"], "begins with a dash"),
        ("tokens", "8 GiB", "is not an integer, such as 8192 or 8k"),
        ("tokens", "2.5K", "is not an integer, such as 8192 or 8k"),
        ("tokens", "auto", "is not an integer, such as 8192 or 8k"),
        ("kernel", "fats", "Write fast."),
        ("kernel", True, "needs a value (got true). Give it one of fast, slow."),
        ("backend", "FLASH_MAL", "must be one of FLASH_MLA, TRITON"),
        ("backend", "FLASHMLA", "Write FLASH_MLA."),
        ("config", "{depth: 1}", "is not JSON"),
        ("limits", '{"a": 80m}', "is not JSON"),
        ("overrides", "rope", "must be a map"),
        ("adapters", ["a"], "is not NAME=PATH, or JSON with the keys name and path"),
        ("eager-start", "true", 'takes no value (got "true"). Write true or false, without quotes.'),
        ("quiet", False, "has no negative form (got false). Use null"),
        ("seats", [1, 2], "takes one value, and not 2"),
        ("seats.a", 1, "gives a key, but --seats takes an integer"),
        ("eager-start.a", 1, "takes no keys"),
        ("pars", "x", "abbreviates several flags of vLLM 0.32: parser, parser-plugin"),
        ("old-flag", "x", 'is not a flag of `vllm serve` in vLLM 0.32, which ends at the start (got "x"). Set parser'),
        ("eager-strat", True, "Write eager-start, or remove it."),
        ("no-eager-strat", True, "Write no-eager-start, or remove it."),
        ("no-quiet", True, "is not a flag"),
        ("cc.depth", 3, "Write config.depth, or remove it."),
        ("config.dept", 3, "is not a key that vLLM takes here (got 3). Write depth."),
        ("config.mode", "COMPLIE", "Write COMPILE."),
        ("config.depth", 0, "is out of range: it must be above 0"),
        ("config.passes.fuse", "maybe", "must be true or false"),
        ("config.passes", {"fues": True}, "has JSON in which fues is not a key that vLLM takes here"),
        ("spec.method", "eagel", "Write eagle."),
        ("spec.method", "mpt", "must be one of mtp, eagle"),
        ("spec.num_tokens", 3, "leaves out method, which is required"),
        ("tool-call-parser", "kimi_k2", "is not a name that vLLM registers for --tool-call-parser"),
        ("enable-auto-tool-choice", True, "needs tool-call-parser, which is not set"),
    ],
)
def test_flag_is_named_with_what_is_right_when_vllm_refuses_it(name: str, value: object, words: str) -> None:
    found = said({name: value})
    assert list(found) == [name]
    assert words in found[name]


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        ({"dpeth": 3}, "config.dpeth", "is not a key that vLLM takes here (got 3). Write depth."),
        ({"other": 3}, "config.other", "The keys are depth, kind, mode, more, note, on, passes, share, sizes."),
        ({"mode": 4}, "config.mode", "must be one of 0, 1, 2, 3, NONE, COMPILE"),
        ({"passes": {"fuse": 2}}, "config.passes.fuse", "must be true or false (got 2)"),
        ({"passes": {"fues": True}}, "config.passes.fues", "Write fuse."),
        ({"sizes": ["a"]}, "config.sizes[0]", 'must be an integer (got "a"). Give it an integer.'),
        ({"sizes": 1}, "config.sizes", "must be a list"),
        ({"depth": 1.5}, "config.depth", "must be an integer"),
        ({"depth": "0"}, "config.depth", "is out of range: it must be above 0"),
        ({"share": 2}, "config.share", "is out of range: it must be at most 1"),
        ({"note": 7}, "config.note", "must be a text (got 7)"),
        ({"kind": "RING"}, "config.kind", "Write ring."),
        ({"more": {"a": "x"}}, "config.more.a", "must be an integer"),
        ([1], "config", "takes one value"),
    ],
)
def test_key_of_a_map_is_named_by_its_path_when_vllm_refuses_it(value: object, key: str, words: str) -> None:
    if isinstance(value, list):
        value, words = value * 2, "takes one value, and not 2"
    found = said({"config": value})
    assert list(found) == [key]
    assert words in found[key]


def test_place_in_json_is_named_when_the_json_is_a_text() -> None:
    found = said({"config": '{"passes": {"fues": true}}'})
    assert found == {
        "config": "has JSON in which passes.fues is not a key that vLLM takes here (got true). Write fuse.",
    }
    assert "leaves out method, which is required" in said({"spec": "{}"})["spec"]
    assert said({"spec": {}}) == {"spec.method": "is required here. Set it."}


@pytest.mark.parametrize(
    ("args", "key", "words"),
    [
        ({"config": {"depth": 1}, "config.mode": 3}, "config.mode", "makes vLLM drop config"),
        ({"eager-start": True, "no-eager-start": True}, "no-eager-start", "sets the same as eager-start"),
        ({"seats": 1, "seat": 2}, "seat", "sets the same as seats, of which vLLM takes the last"),
    ],
)
def test_flag_is_refused_when_it_is_given_in_two_ways(args: dict[str, Any], key: str, words: str) -> None:
    found = said(args)
    assert list(found) == [key]
    assert words in found[key]


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


def test_value_of_a_variable_is_refused_when_vllm_can_t_read_it() -> None:
    interface = load_interface("0.33")
    assert interface
    env = {"VLLM_USE_FLASHINFER_SAMPLER": "yes", "VLLM_PP_LAYER_PARTITION": "31,30", "VLLM_LOGGING_LEVEL": "yes"}
    (problem,) = vllm_problems({"engine": {"env": env}}, interface, load_renamed())
    assert problem.key == "engine.env.VLLM_USE_FLASHINFER_SAMPLER"
    assert problem.message.startswith("takes 0 or 1: vLLM can't read anything else, and does not start (got")


def test_table_of_the_chart_s_own_version_exists() -> None:
    assert load_interface(".".join(read_app_version(CHART).split(".")[:2]))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ({"repository": "vllm/vllm-openai"}, "0.32"),
        ({"repository": "mirror.example/vllm/vllm-openai", "tag": "v0.32.1-cu129"}, "0.32"),
        ({"repository": "mirror.example/llm/vllm-ray", "tag": "v0.33.0-ray2.56.1"}, "0.33"),
        ({"repository": "vllm/vllm-openai", "tag": "v0.33.0"}, "0.33"),
        ({"repository": "vllm/vllm-openai", "tag": "v0.11.0"}, "0.11"),
        ({"repository": "vllm/vllm-openai", "tag": "nightly"}, None),
        ({"repository": "vllm/vllm-openai", "digest": "sha256:00"}, None),
        ({"repository": "example/own-vllm", "tag": "v0.32.0"}, None),
    ],
)
def test_version_is_known_of_published_images_with_one(image: dict[str, str], version: str | None) -> None:
    assert version_of({"image": image}, "0.32.0") == version


def test_version_without_a_table_is_not_checked() -> None:
    assert load_interface("0.11") is None
