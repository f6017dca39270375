"""Connectors of the KV cache that vLLM would refuse, in each form, by the version of the image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.eitherhelm import either_helm
from kit.paths import CHECKOUT
from kit.render import HelmFailed, render

R1 = CHECKOUT / "values" / "deepseek-r1.yaml"
EXAMPLES = CHECKOUT / "examples" / "disaggregation"
CONSUMER = {"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}
MULTI = {
    "kv_connector": "MultiConnector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {"connectors": [{"kv_connector": "ExampleConnector", "kv_role": "kv_both"}, CONSUMER]},
}
REFUSED = r"receives the KV cache with NixlConnector, but this layout has 2 pipeline stages"
FORMS = [
    {"kv-transfer-config": CONSUMER},
    {"kv-transfer-config": f"\n {json.dumps(CONSUMER)}"},
    {"kv-transfer-config.kv_connector": "NixlConnector", "kv-transfer-config.kv_role": "kv_consumer"},
    {"kv-transfer": CONSUMER},
    {"kv-transfer-config": MULTI},
    {"kv-transfer-config": json.dumps(MULTI)},
    {
        "kv-transfer-config.kv_connector": "MultiConnector",
        "kv-transfer-config.kv_role": "kv_both",
        "kv-transfer-config.kv_connector_extra_config.connectors": json.dumps([CONSUMER]),
    },
]


def values(args: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return values with flags of vLLM."""
    return {"engine": {"args": args}, **others}


@pytest.mark.parametrize("args", FORMS, ids=range(len(FORMS)))
def test_decode_in_stages_is_refused_in_every_form(args: dict[str, Any]) -> None:
    name = next(iter(args))
    with pytest.raises(HelmFailed, match=rf"engine\.args\.{name}: {REFUSED}"):
        render(values(args), R1)


@either_helm
@pytest.mark.parametrize(
    "image", [{"tag": "v0.32.1"}, {"tag": "v0.33.0", "repository": "mirror.example:5000/a/vllm-ray"}]
)
def test_decode_in_stages_is_refused_in_known_versions(image: dict[str, str], helm: Any) -> None:
    with pytest.raises(HelmFailed, match=REFUSED):
        render(values({"kv-transfer-config": CONSUMER}, image=image), R1, helm=helm)


@pytest.mark.parametrize(
    "image",
    [
        {"tag": "v0.34.0"},
        {"tag": "nightly"},
        {"tag": "v0.32.0", "repository": "example.com/own-vllm"},
        {"digest": f"sha256:{'0' * 64}"},
    ],
)
def test_decode_in_stages_is_left_to_other_versions(image: dict[str, str]) -> None:
    assert list(render(values({"kv-transfer-config": CONSUMER}, image=image), R1))


@pytest.mark.parametrize(
    "config",
    [
        {**CONSUMER, "kv_connector_module_path": "own.module"},
        {**CONSUMER, "kv_connector": "MooncakeConnector"},
        {"kv_connector": "NixlPushConnector", "kv_role": "kv_producer"},
        {"kv_connector": "NixlConnector"},
        "not JSON",
        "[]",
        {},
    ],
)
def test_other_connectors_render(config: object) -> None:
    assert list(render(values({"kv-transfer-config": config}), R1))


def test_decode_without_stages_renders() -> None:
    assert list(render(values({"kv-transfer-config": CONSUMER}, parallelism={"pipeline": 1}), R1))


@pytest.mark.parametrize("where", ["engine", "extraEnv"])
@pytest.mark.parametrize(("flag", "refused"), [({}, True), ({"enable-cumem-allocator": True}, False)])
def test_memory_that_moves_is_refused_wherever_it_is_set(where: str, flag: dict[str, Any], refused: bool) -> None:
    name, value = "PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64,expandable_segments:True"
    given = values({"kv-transfer-config": CONSUMER, **flag}, parallelism={"pipeline": 1})
    if where == "engine":
        given["engine"]["env"] = {name: value}
    else:
        given["extraEnv"] = [{"name": "OTHER", "value": "x"}, {"name": name, "value": value}]
    if not refused:
        assert list(render(given, R1))
        return
    with pytest.raises(HelmFailed, match=r"expandable_segments:True, with which vLLM 0.33 does not start"):
        render(given, R1)


@pytest.mark.parametrize("role", ["prefill", "decode"])
def test_example_of_the_guide_opens_the_way_to_the_other_release_only(role: str) -> None:
    rendered = render(None, CHECKOUT / "values" / "deepseek-r1.h200x8.yaml", EXAMPLES / f"{role}.yaml", release=role)
    spec = rendered.one("NetworkPolicy", role)["spec"]
    rules = [rule.get("from") or rule.get("to") for rule in [*spec["ingress"], *spec["egress"]]]
    other = {"prefill": "decode", "decode": "prefill"}[role]
    assert [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": other}}}] in rules
