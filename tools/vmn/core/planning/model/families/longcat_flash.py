"""LongCat-Flash: layers of two latent attentions and two dense parts next to experts, some of which do nothing.

After ``longcat_flash.py`` of vLLM 0.33.
"""

from __future__ import annotations

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.model.architecture import Config, Layer
from vmn.core.planning.model.families.latent import latent_attention
from vmn.core.planning.model.form import Form

STATES = 5
"""States of all tokens beside what a part of a layer computes: the residual, the part's input, and its output; and the
experts' input and output, which the layer holds until its end (``FlashDecoderLayer.forward``)."""


def longcat_flash(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing.
    """
    attention = latent_attention(config)
    dense = Dense(int(config["ffn_hidden_size"]))
    experts = Experts(
        count=int(config["n_routed_experts"]),
        active=int(config["moe_topk"]),
        intermediate=int(config["expert_ffn_hidden_size"]),
        router_bias=True,
        router_bytes=4.0,
        idle=int(config.get("zero_expert_num") or 0),
        normed=False,
    )
    layer = Layer.of(attention, dense, attention, dense, experts)
    return Form((layer,) * int(config.get("num_layers") or config["num_hidden_layers"]), states=STATES)
