"""Experts, as most families name them in ``config.json``."""

from __future__ import annotations

from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.model.architecture import Config


def equal_experts(config: Config, count: str, shared: str, active: str = "num_experts_per_tok") -> Experts:
    """Return routed experts of the width ``moe_intermediate_size``, and shared ones of the same width.

    Args:
        config: content of ``config.json``.
        count: field with the number of routed experts.
        shared: field with the number of shared experts, which may be missing.
        active: field with the number of routed experts of a token.

    Raises:
        KeyError: a field is missing.
    """
    width = int(config["moe_intermediate_size"])
    return Experts(
        count=int(config[count]),
        active=int(config[active]),
        intermediate=width,
        shared=width * int(config.get(shared) or 0),
    )


def experts_beside_a_wide_one(config: Config) -> Experts:
    """Return ``num_experts`` routed experts, and a shared one of a width of its own, if there is one.

    Raises:
        KeyError: a field is missing.
    """
    return Experts(
        count=int(config["num_experts"]),
        active=int(config["num_experts_per_tok"]),
        intermediate=int(config["moe_intermediate_size"]),
        shared=int(config.get("shared_expert_intermediate_size") or 0),
    )
