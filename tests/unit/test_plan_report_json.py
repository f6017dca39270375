"""The JSON of ``vmn plan`` has its documented shape, for each model of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kit.paths import name_of
from vmn.adapters.models import REGISTRY, ModelError, registered_model
from vmn.app.planner import Plan
from vmn.core.planning.candidates import LayoutFilter, predictions
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.prediction import VllmOptions, plan_context
from vmn.report.plan_json import as_json

BAND = {
    "type": "object",
    "required": ["low", "expected", "high"],
    "additionalProperties": {"type": "number"},
}
COUNTS = BAND | {"additionalProperties": {"type": "integer"}}
SCHEMA = {
    "type": "object",
    "required": ["model", "gpu", "vllm_version", "layouts"],
    "properties": {
        "layouts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "tensor": {"type": "integer"},
                    "pipeline": {"type": "integer"},
                    "data": {"type": "integer"},
                    "expert": {"type": "boolean"},
                    "decode_context": {"type": "integer"},
                    "fits": {"type": "boolean"},
                    "rejected": {"type": ["string", "null"]},
                    "traffic": {"enum": ["none", "stages", "data", "tensor"]},
                    "ranks": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["stage", "layers", "weights_gib", "activation_gib", "available_kv_gib"],
                            "properties": {
                                "stage": {"type": "integer"},
                                "layers": {"type": "integer"},
                                "weights_gib": {"type": "number"},
                                "activation_gib": BAND,
                                "available_kv_gib": BAND,
                                "blocks": COUNTS,
                            },
                        },
                    },
                    "kv_cache_tokens": COUNTS,
                    "max_model_len": {"type": "integer"},
                    "max_concurrency": {"type": "number"},
                    "max_concurrency_band": BAND,
                    "log_lines": {"type": "array", "items": {"type": "string"}},
                },
                "required": [
                    "tensor",
                    "pipeline",
                    "data",
                    "expert",
                    "decode_context",
                    "fits",
                    "rejected",
                    "ranks",
                    "traffic",
                    "kv_cache_tokens",
                    "max_model_len",
                    "max_concurrency",
                    "max_concurrency_band",
                    "log_lines",
                ],
            },
        }
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(REGISTRY.glob("*.json")), ids=name_of)
def test_json_has_its_shape(path: Path) -> None:
    try:
        model = registered_model(path.stem.replace("--", "/", 1))
    except ModelError as error:
        assert "planner" in str(error) or "missing" in str(error)
        return
    context = plan_context(model.architecture, find_gpu("h200"), Cluster(2, 8), VllmOptions())
    content: dict[str, Any] = json.loads(
        as_json(Plan(model, context, VllmOptions(), predictions(context, LayoutFilter())))
    )
    jsonschema.validate(content, SCHEMA)
    assert content["model"] == model.name
    assert len(content["layouts"]) >= 10
    for entry in content["layouts"]:
        refused = not entry["fits"] and not entry["ranks"] and len(entry["log_lines"]) <= 1
        assert entry["rejected"] is None or refused
        assert entry["max_model_len"] <= model.architecture.max_length
