"""Runs in vLLM's environment: says what vLLM has against layouts of models.

Argument: a JSON file, a list of ``{"config": ..., "tensor": ..., "pipeline": ..., "data": ..., "expert": ...,
"decode_context": ...}`` and, for weights, ``{"function": ..., "arguments": [...], "tensor": ...}``. The last line
printed is JSON: a list of messages, null where vLLM accepts.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import vllm.distributed
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.quantization.utils import fp8_utils


def configured(case: Mapping[str, Any]) -> None:
    """Make vLLM's configuration, which checks a layout."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(case["config"]))
        EngineArgs(
            model=folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            distributed_executor_backend="mp",
            tensor_parallel_size=case["tensor"],
            pipeline_parallel_size=case["pipeline"],
            data_parallel_size=case["data"],
            enable_expert_parallel=case["expert"],
            decode_context_parallel_size=case["decode_context"],
        ).create_engine_config()


def built(case: Mapping[str, Any]) -> None:
    """Call what vLLM calls for the shapes of FP8 weights when it builds a layer."""
    vllm.distributed.get_tensor_model_parallel_world_size = lambda: case["tensor"]
    function = getattr(fp8_utils, case["function"])
    layer = [SimpleNamespace(tp_size=case["tensor"])] if case["function"] == "validate_fp8_block_shape" else []
    function(*layer, *case["arguments"])


def main(cases: list[dict[str, Any]]) -> list[str | None]:
    """Return what vLLM says to each case."""
    said: list[str | None] = []
    for case in cases:
        try:
            (built if "function" in case else configured)(case)
            said.append(None)
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
