"""What vLLM checks of a flag at the start by something else than a configuration class."""

from __future__ import annotations

from typing import Any, get_args

from vllm import renderers
from vllm.model_executor import model_loader
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.reasoning import ReasoningParserManager
from vllm.tokenizers import registry
from vllm.tool_parsers import ToolParserManager


def registered() -> dict[str, list[str]]:
    """Return the names of parsers that a version registers, by the flag that takes them; plugins can add some."""
    return {
        "tool-call-parser": sorted(ToolParserManager.list_registered()),
        "reasoning-parser": sorted({"none", *ReasoningParserManager.list_registered()}),
    }


def in_any_case() -> dict[str, list[str]]:
    """Return other registered names, by the flag that takes them in upper and lower case."""
    return {
        "quantization": sorted(QUANTIZATION_METHODS),
        "load-format": sorted(model_loader._LOAD_FORMAT_TO_MODEL_LOADER),
        "tokenizer-mode": sorted({"auto", *registry._VLLM_TOKENIZERS}),
    }


def of_the_server() -> dict[str, dict[str, Any]]:
    """Return shapes that ``validate_parsed_serve_args`` checks, and a text that is read as a version, by the flag."""
    efforts = {name: {"type": "string"} for name in get_args(getattr(renderers, "ReasoningEffort", None))}
    return {
        "show-hidden-metrics-for-version": {"type": "string", "pattern": r"^\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?$"},
        "sse-keep-alive-interval": {"type": "integer", "minimum": 0},
        "grpc-port": {"type": "integer", "minimum": 0, "maximum": 65535},
        "reasoning-effort-map": {"type": "object", "properties": efforts, "additionalProperties": False},
    }
