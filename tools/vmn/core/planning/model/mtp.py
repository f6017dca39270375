"""Which checkpoints have layers for multi-token prediction (MTP) that vLLM can run, by their ``config.json``.

After ``SpeculativeConfig.hf_config_override`` (``config/speculative.py``) and the models' files in vLLM 0.32 and 0.33.
``tests/engine/test_speculation.py`` asks that function itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Config = Mapping[str, object]
STAGED_SINCE = (0, 27)
"""The first version that may start with drafting layers and pipeline stages: earlier ones refuse drafts without
``SupportsPP`` (vllm-project/vllm#52069, of a build after 0.26.0; 0.32 and 0.33 accept them)."""


@dataclass(frozen=True)
class _Source:
    """Where a kind of model says how many layers it has.

    Attributes:
        fields: names in ``config.json``; the first that is there counts, and a dot leads into a map.
        otherwise: the number without any of them.
        one_stage_since: the first version in which the layers can't run on the last of several pipeline stages, because
            they have no embedding of their own (``maybe_share_target_embed``); None for those that can.
        fed_streams: whether the layers get all residual streams of the model (``get_mtp_target_hidden_states``).
        alive: states of all tokens that are alive in addition while a layer runs: the model's output, the embeddings as
            they are and normed, and the normed states (``deepseek_mtp.py``; a start of DeepSeek-R1 with 0.33 has 4.1).
    """

    fields: tuple[str, ...] = ("num_nextn_predict_layers",)
    otherwise: int = 0
    one_stage_since: tuple[int, int] | None = None
    fed_streams: bool = False
    alive: int = 4


_NAMED = _Source()
_JOINED = _Source(alive=3)
"""Models whose layers write the normed embeddings and states into one tensor (``deepseek_v32/nvidia/mtp.py``; a start
of GLM-5.3 with 0.33 has 3.1)."""
_QWEN = _Source(("mtp_num_hidden_layers",), otherwise=1)
_ALWAYS_ONE = _Source((), otherwise=1)
_SOURCES: Mapping[str, _Source] = {
    **dict.fromkeys(("deepseek_v3", "glm4_moe", "hy_v3", "hy_v4"), _NAMED),
    **dict.fromkeys(("bailing_hybrid", "exaone_moe", "kimi_k3"), _NAMED),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa", "glm5_next"), _JOINED),
    "deepseek_v4": _Source(fed_streams=True),
    "inkling_mm_model": _Source(("mtp_config.num_nextn_predict_layers",), one_stage_since=(0, 0)),
    "longcat_flash": _ALWAYS_ONE,
    "mimo_v2": _ALWAYS_ONE,
    "mimo_v2_flash": _ALWAYS_ONE,
    "minimax_m3_vl": _Source(("num_mtp_modules",), otherwise=1),
    "nemotron_h": _Source(one_stage_since=(0, 33)),
    "qwen3_next": _Source(otherwise=1),
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text"), _QWEN),
    "qwen4_exp": _Source(("mtp_num_hidden_layers", "num_nextn_predict_layers"), otherwise=1, fed_streams=True),
    **dict.fromkeys(("step3p5", "step3p7", "step5", "step5_vl"), _Source(otherwise=1)),
}
"""Kinds of models whose layers vLLM's method ``mtp`` runs, by ``model_type``. DeepSeek V4.1 has layers for the method
``dspark`` instead."""


@dataclass(frozen=True)
class Mtp:
    """The layers for multi-token prediction of a checkpoint.

    Attributes:
        depth: number of layers, 0 for a checkpoint without them.
        one_stage_since: the first version in which they can't be combined with pipeline stages, None if they can.
        fed_streams: whether they get all residual streams of the model.
        alive: states of all tokens that are alive in addition while one of them runs, with one stream.
    """

    depth: int
    one_stage_since: tuple[int, int] | None = None
    fed_streams: bool = False
    alive: int = 4

    def needs_one_stage(self, version: tuple[int, int]) -> str:
        """Return why a version can't run them with several pipeline stages, empty if it can."""
        if version < STAGED_SINCE:
            return "this version of vLLM does not start multi-token prediction with pipeline stages: use pipeline 1"
        if self.one_stage_since and version >= self.one_stage_since:
            return "the drafting layers need the embedding, which only the first pipeline stage has: use pipeline 1"
        return ""


def mtp_of(kind: str, fields: Config) -> Mtp | None:
    """Return the layers of a checkpoint, None where vLLM has no method ``mtp`` for this kind of model.

    Args:
        kind: ``model_type``, which of a multimodal model is that of the whole.
        fields: content of ``config.json``, with the fields of ``text_config``.
    """
    source = _SOURCES.get(kind)
    if source is None:
        return None
    found = next((value for name in source.fields if (value := _field(fields, name)) is not None), source.otherwise)
    depth = found if isinstance(found, int) and found > 0 else 0
    return Mtp(depth, source.one_stage_since, source.fed_streams, source.alive)


def _field(config: Config, name: str) -> object:
    first, _, rest = name.partition(".")
    inner = config.get(first)
    if not rest:
        return inner
    return _field(inner, rest) if isinstance(inner, Mapping) else None
