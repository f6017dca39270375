"""Runs in vLLM's environment: says how many tokens vLLM's method ``mtp`` drafts with the layers of checkpoints.

Argument: a JSON file, a list of ``{"config": ..., "tokens": ..., "pipeline": ...}`` and, for the embedding of drafts on
the last stage, of ``{"stages": ..., "flag": ...}``; the flag is ``has_own_embed_tokens``, null for drafts without it.
The last line printed is JSON, for each case: ``embedding``, which is ``own``, ``shared``, or what vLLM raises; or
``depth``, the layers that ``SpeculativeConfig`` finds, null if the method does not take this kind of model, ``any`` if
it takes any number of tokens; and with ``tokens``, ``said``: what vLLM has against drafting them, null if nothing.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from unittest import mock

from torch import nn
from vllm.config.speculative import MTPModelTypes, SpeculativeConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.models import registry
from vllm.model_executor.models.utils import PPMissingLayer
from vllm.transformers_utils.config import get_config
from vllm.v1.worker.gpu.spec_decode.eagle import utils


def depth_of(folder: str) -> int | str | None:
    """Return the layers of a checkpoint, None where the method does not take it, ``any`` if nothing says how many."""
    found = SpeculativeConfig.hf_config_override(copy.deepcopy(get_config(folder, trust_remote_code=False)))
    is_taken = found.model_type in get_args(MTPModelTypes) and "V41" not in found.architectures[0]
    depth = getattr(found, "n_predict", None)
    return ("any" if depth is None else depth) if is_taken else None


def drafted(folder: str, tokens: int, pipeline: int) -> None:
    """Make an engine's configuration.

    Raises:
        Exception: whatever vLLM raises.
    """
    EngineArgs(
        model=folder,
        skip_tokenizer_init=True,
        load_format="dummy",
        distributed_executor_backend="mp",
        pipeline_parallel_size=pipeline,
        speculative_config={"method": "mtp", "num_speculative_tokens": tokens},
    ).create_engine_config()


def embedding_of(stages: int, flag: bool | None) -> str:
    """Return whose embedding drafts use on the last of some stages."""
    own = nn.Embedding(1, 1)
    target = nn.Module()
    target.embed_tokens = nn.Embedding(1, 1) if stages == 1 else PPMissingLayer()
    inner = nn.Module()
    inner.embed_tokens = own
    draft = SimpleNamespace() if flag is None else SimpleNamespace(has_own_embed_tokens=flag)
    with mock.patch.object(utils, "get_pp_group", lambda: SimpleNamespace(world_size=stages)):
        try:
            utils.maybe_share_target_embed(draft, inner, target)
        except RuntimeError as error:
            return str(error)
    return "own" if inner.embed_tokens is own else "shared"


def answered(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a case."""
    if "stages" in case:
        return {"embedding": embedding_of(case["stages"], case["flag"])}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(case["config"]))
        try:
            answer: dict[str, Any] = {"depth": depth_of(folder)}
        except Exception as error:
            answer = {"depth": f"{type(error).__name__}: {error}"}
        if "tokens" in case:
            try:
                drafted(folder, case["tokens"], case["pipeline"])
                answer["said"] = None
            except Exception as error:
                answer["said"] = f"{type(error).__name__}: {error}"
        return answer


if __name__ == "__main__":
    # vLLM inspects each class in a process of its own, which imports vLLM again, so that this one need not use its GPU.
    registry._run_in_subprocess = lambda inspect: inspect()
    print(json.dumps([answered(case) for case in json.loads(Path(sys.argv[1]).read_text())]))
