"""The KV cache's way between groups: the guide's example, and what the chart refuses, against vLLM's own checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.cases import expected, invalid_cases, valid_cases
from kit.insidevllm import ask
from kit.paths import CHECKOUT
from kit.render import Manifests, render
from kit.startscript import vllm_words
from unit.planning_data.table import configuration

pytestmark = pytest.mark.engine
SCRIPT = Path(__file__).with_name("connect_groups.py")
EXAMPLES = CHECKOUT / "examples" / "disaggregation"
PRESET = CHECKOUT / "values" / "deepseek-r1.h200x8.yaml"
TWO_NODES = {"group": {"nodes": 2}, "parallelism": {"data": 2, "expert": True}}
UNJUDGED = {"image": {"repository": "example.com/unknown", "tag": "own"}}
"""An image of which the chart knows no version, so that it renders what it would refuse."""
WITHOUT_TOKENIZER = {"engine": {"args": {"reasoning-parser": None}}}
"""For a reasoning parser, vLLM reads the model's tokenizer, which is not here."""
STAGES = "consumer (decode) does not support pipeline_parallel_size > 1"
REFUSED = {
    "decode-in-stages": STAGES,
    "decode-in-stages-among-others": STAGES,
    "decode-in-stages-by-keys": STAGES,
    "transfer-by-push-of-shared-tokens": "NixlPushConnector does not support decode_context_parallel_size > 1",
    "transfer-from-memory-that-moves": "incompatible with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
    "transfer-of-shared-tokens": "decode_context_parallel_size=8 must be 1 or equal to the NIXL transfer",
}
"""Values files that the chart refuses, and what vLLM says to them."""
LATER = "prefill-in-stages-that-decode-pulls"
"""One that vLLM only refuses when the other group reads the KV cache."""
VARIABLE = "PYTORCH_CUDA_ALLOC_CONF"
LAYERS = 61
"""Layers of DeepSeek-R1."""


def concerned(case: Path) -> bool:
    """Return whether a values file of tests/cases has a connector, and not the chart's own offloading beside it.

    The chart refuses the two together for any version of vLLM.
    """
    text = case.read_text(encoding="utf-8")
    return "kv-t" in text and "kvCache:" not in text


def asked(manifests: Manifests, model: str) -> dict[str, Any]:
    """Return the question to vLLM for the leader of a rendered chart."""
    variables = manifests.templates()["leader"]["spec"]["containers"][0]["env"]
    env = {one["name"]: one["value"] for one in variables if one["name"] == VARIABLE}
    shapes = {
        key: value for key, value in configuration(model.replace("/", "--")).items() if key != "quantization_config"
    }
    return {"words": vllm_words(manifests, 0), "config": shapes, "env": env}


def question(*files: Path, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the question to vLLM for values files."""
    names = [yaml.safe_load(file.read_text(encoding="utf-8")).get("model", {}).get("name") for file in files]
    return asked(render({**UNJUDGED, **WITHOUT_TOKENIZER, **(values or {})}, *files), next(filter(None, names)))


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the guide's two releases, on one node each and on two."""
    for role in ("prefill", "decode"):
        for name, values in (("one node", {}), ("two nodes", TWO_NODES)):
            yield f"{role} on {name}", question(PRESET, EXAMPLES / f"{role}.yaml", values=values)


def questions() -> dict[str, dict[str, Any]]:
    """Return all questions by a name: those of the guide, and the values files of tests/cases."""
    cases = {case.stem: question(case) for case in [*valid_cases(), *invalid_cases()] if concerned(case)}
    return {**dict(examples()), **cases}


@pytest.fixture(scope="module")
def vllm_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Ask vLLM about all of them, and about a handover from a stage, in one process."""
    asked = questions()
    handshake = {"handshake": {"prefill": (LAYERS + 1) // 2, "decode": LAYERS}}
    alike = {"handshake": {"prefill": LAYERS, "decode": LAYERS}}
    folder = tmp_path_factory.mktemp("transfers")
    said = ask(SCRIPT, [*asked.values(), handshake, alike], folder, f"vLLM's own checks of {len(asked)} transfers")
    return dict(zip([*asked, "from a stage", "from all layers"], said, strict=True))


def test_vllm_accepts_the_example_of_the_guide(vllm_says: dict[str, str | None]) -> None:
    assert {name: vllm_says[name] for name, _ in examples()} == dict.fromkeys(dict(examples()))


def test_vllm_accepts_what_the_chart_accepts(vllm_says: dict[str, str | None]) -> None:
    accepted = [case.stem for case in valid_cases() if concerned(case)]
    assert len(accepted) >= 2
    assert {name: vllm_says[name] for name in accepted} == dict.fromkeys(accepted)


@pytest.mark.parametrize("name", REFUSED)
def test_vllm_refuses_what_the_chart_refuses(vllm_says: dict[str, str | None], name: str) -> None:
    assert REFUSED[name] in (vllm_says[name] or "")


def test_every_refused_transfer_is_asked_about() -> None:
    cases = [case for case in invalid_cases() if concerned(case)]
    assert {case.stem for case in cases} == {*REFUSED, LATER}
    assert {item.ring for case in cases for item in expected(case)} == {"rules"}


def test_vllm_refuses_to_read_the_cache_of_a_stage(vllm_says: dict[str, str | None]) -> None:
    assert "Number of KV layers must match between prefill and decode" in (vllm_says["from a stage"] or "")
    assert vllm_says["from all layers"] is None
