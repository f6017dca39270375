"""Every flag that the chart can render, and every flag that its start script adds, against vLLM's own parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.insidevllm import ask
from kit.paths import CI_VALUES, MAIN_PRESETS, name_of
from kit.render import Manifests, render
from kit.startscript import vllm_words

pytestmark = [pytest.mark.engine, pytest.mark.minutes(1)]
SCRIPT = Path(__file__).with_name("parse_arguments.py")
R1 = {"name": "deepseek-ai/DeepSeek-R1"}
WITH_VALUES: Mapping[str, Mapping[str, Any]] = {
    "data-expert-one-node": {"group": {"nodes": 1}, "parallelism": {"data": 8, "expert": True}},
    "data-tensor-expert": {"parallelism": {"data": 4, "tensor": 4, "expert": True, "decodeContext": 2}},
    "ray": {"engine": {"backend": "ray"}},
    "of-the-model": {
        "model": {
            **R1,
            **{"dtype": "float16", "quantization": "awq", "trustRemoteCode": True, "revision": "main"},
            **{"servedName": "other", "maxLength": 1000},
        }
    },
    "forms-of-engine-args": {
        "engine": {
            "args": {
                **{"gpu-memory-utilization": 0.95, "enable-prefix-caching": False, "enforce-eager": True},
                **{"max-num-seqs": 7, "kv-cache-dtype": "fp8", "seed": None, "limit-mm-per-prompt": {"image": 2}},
                **{"cudagraph-capture-sizes": [1, 2, 4], "kv-cache-memory-bytes": "64M"},
            }
        }
    },
}
UNKNOWN = "--not-a-flag"


def rendered() -> Iterator[tuple[str, Manifests]]:
    """Yield the rendered chart by a name, for each values file and for more values."""
    for file in [*MAIN_PRESETS, *CI_VALUES, *valid_cases()]:
        yield f"{file.parent.name}/{name_of(file)}", render(None, file)
    for name, values in WITH_VALUES.items():
        yield name, render({"model": R1, **values})


def cases() -> dict[str, list[str]]:
    """Return what ``vllm`` is given in the leader's and in a worker's pod, for all of these."""
    found = {}
    for name, manifests in rendered():
        size = manifests.one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]["size"]
        for rank in range(min(size, 2)):
            words = vllm_words(manifests, rank)
            if words:  # a Ray worker does not call vllm
                found[f"{name} rank {rank}"] = words
    return found


@pytest.fixture(scope="module")
def parser_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Ask vLLM's parser about all of them, and about one that it must refuse, in one process."""
    asked = cases()
    asked["unknown"] = [*next(iter(asked.values())), UNKNOWN]
    said: dict[str, str | None] = ask(
        SCRIPT, asked, tmp_path_factory.mktemp("arguments"), f"vLLM's parser over {len(asked)} lists of arguments"
    )
    assert set(said) == set(asked)
    return said


def test_parser_accepts_what_the_chart_renders(parser_says: dict[str, str | None]) -> None:
    assert {name: message for name, message in parser_says.items() if message and name != "unknown"} == {}


def test_parser_refuses_an_unknown_flag(parser_says: dict[str, str | None]) -> None:
    assert UNKNOWN in (parser_says["unknown"] or "")


def test_cases_have_every_flag_of_the_start_script() -> None:
    words = {word for case in cases().values() for word in case}
    assert words >= {
        *("--nnodes", "--node-rank", "--master-addr", "--master-port", "--headless"),
        *("--data-parallel-size-local", "--data-parallel-address", "--data-parallel-rpc-port"),
        *("--data-parallel-start-rank", "--data-parallel-rank", "--distributed-executor-backend"),
    }
