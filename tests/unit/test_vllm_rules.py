"""What ``vmn validate`` says of flags and variables that a version of vLLM refuses or does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.paths import CATALOGUE, CHART, CI_VALUES, OVERLAYS, name_of
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


@pytest.mark.parametrize("file", [*OVERLAYS, *CI_VALUES, *CATALOGUE, *valid_cases()], ids=name_of)
def test_values_that_work_are_accepted(file: Path) -> None:
    values = effective(read_values(CHART / "values.yaml"), read_values(file))
    interface = load_interface("0.32")
    assert interface
    assert vllm_problems(values, interface, load_renamed()) == []


def test_table_of_the_chart_s_own_version_exists() -> None:
    assert load_interface(".".join(read_app_version(CHART).split(".")[:2]))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ({"repository": "vllm/vllm-openai"}, "0.32"),
        ({"repository": "mirror.example/vllm/vllm-openai", "tag": "v0.32.1-cu129"}, "0.32"),
        ({"repository": "mirror.example/llm/vllm-ray", "tag": "v0.32.0-ray2.56.1"}, "0.32"),
        ({"repository": "vllm/vllm-openai", "tag": "v0.11.0"}, None),
        ({"repository": "vllm/vllm-openai", "tag": "nightly"}, None),
        ({"repository": "vllm/vllm-openai", "digest": "sha256:00"}, None),
        ({"repository": "example/own-vllm", "tag": "v0.32.0"}, None),
    ],
)
def test_only_known_versions_of_the_published_images_are_checked(image: dict[str, str], version: str | None) -> None:
    found = interface_of({"image": image}, "0.32.0")
    assert (found.version if found else None) == version
