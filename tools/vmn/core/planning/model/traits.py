"""Models whose layers have the form that most models have: what vLLM's code does, and ``config.json`` does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vmn.core.planning.model.architecture import Rule


@dataclass(frozen=True)
class Traits:
    """What vLLM's code of a model does, and ``config.json`` does not say.

    Attributes:
        normed: whether queries and keys always have norms.
        biased: whether the projections of query, key, and value always have a bias.
        output_biased: whether the output projection and the experts have one, too.
        gate: gate of the attention's output: part of the query, as large as the output, one element of a head, or none.
        recurrent: bytes of an element of the recurrent state if ``mamba_ssm_dtype`` does not say it.
        router_bytes: bytes of an element of the router if they are not those of other weights.
        router_biased: whether the router always has a bias.
        pattern: layers of which the last one has no window, if nothing says which layers have one.
        latent: field with the elements of a token's state that experts see, if there is one.
        wider_window: tokens of a window in addition to ``sliding_window``.
        rules: what vLLM refuses in addition to what follows from the blocks.
    """

    normed: bool = False
    biased: bool = False
    output_biased: bool = False
    gate: Literal["query", "output", "head"] | None = None
    recurrent: int = 2
    router_bytes: float | None = None
    router_biased: bool = False
    pattern: int = 1
    latent: str = ""
    wider_window: int = 0
    rules: tuple[Rule, ...] = ()


NORMED = Traits(normed=True)
GATED_QWEN = Traits(normed=True, gate="query")
WIDE_STATE = Traits(normed=True, gate="query", recurrent=4)
WIDE_ROUTER = Traits(normed=True, router_bytes=4.0, router_biased=True)
TRAITS: Mapping[str, Traits] = {
    "llama": Traits(),
    "llama4": Traits(),
    "mistral": Traits(),
    "mistral3": Traits(),
    "ministral3": Traits(),
    "mixtral": Traits(),
    "gemma3": NORMED,
    "gemma3_text": NORMED,
    "gpt_oss": Traits(biased=True, output_biased=True, pattern=2),
    "glm4_moe": Traits(),
    "glm_moe_dsa": Traits(),
    "qwen2": Traits(biased=True),
    "qwen3": NORMED,
    "qwen3_moe": NORMED,
    "qwen3_next": GATED_QWEN,
    "qwen3_vl": NORMED,
    "qwen3_vl_moe": NORMED,
    "qwen3_5": WIDE_STATE,
    "qwen3_5_moe": WIDE_STATE,
    "qwen3_5_text": WIDE_STATE,
    "qwen3_5_moe_text": WIDE_STATE,
    "deepseek_v2": Traits(),
    "deepseek_v3": Traits(),
    "deepseek_v32": Traits(),
    "kimi_k2": Traits(),
    "kimi_k25": Traits(),
    "minimax_m2": NORMED,
    # By their files in vLLM 0.33: afmoe.py, AXK1.py, models/beam, cohere2_moe.py, exaone_moe.py, hy_v3.py,
    # mistral_large_3.py, models/muse_spark.
    "afmoe": Traits(normed=True, gate="output", router_bytes=4.0, router_biased=True),
    "axk1": Traits(router_biased=True),
    "beam": Traits(normed=True, gate="output", router_bytes=4.0, router_biased=True, pattern=4),
    "cohere2_moe": Traits(wider_window=1),
    "exaone_moe": Traits(normed=True, router_biased=True),
    "hy_v3": WIDE_ROUTER,
    "mistral4": Traits(),
    "muse_spark_text": Traits(gate="output", router_bytes=4.0, router_biased=True, latent="moe_hidden_size"),
}
"""The models, by ``model_type``."""
