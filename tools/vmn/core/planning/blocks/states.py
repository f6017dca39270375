"""Blocks that keep a state of fixed size for each request instead of a KV cache: linear attention and Mamba-2.

Sizes after ``layers/mamba/mamba_utils.py`` of vLLM 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Matrix, Mixer, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec
from vmn.core.planning.gpus import BLACKWELL, BLACKWELL_WORKSTATION, HOPPER

FLASHINFER_KEY = 128
"""Elements of a key's head that FlashInfer's kernels for gated delta nets take on Blackwell."""


@dataclass(frozen=True)
class State(Mixer):
    """A block with a state, whose page in the cache is as large as one of attention."""

    def checkpoints(self, form: CacheForm) -> int:
        """Return the blocks of a request for a checkpoint of its prompt that a kernel can write."""
        return 1

    def checkpoint_grid(self, form: CacheForm) -> int | None:
        """Return the tokens between two states that a kernel can export from inside a prompt, None if it exports none.

        vLLM makes blocks a multiple of them (``get_prefill_checkpoint_alignment`` of the layers).
        """
        return None

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        states = form.vllm.state_blocks + form.drafted
        if form.vllm.state_blocks > 1 and form.vllm.state_checkpoint:
            states += self.checkpoints(form)
        yield CacheSpec("state", form.block, self.state_bytes(form), states=states)


@dataclass(frozen=True)
class LinearAttention(State):
    """Gated delta net (Qwen3-Next, Qwen3.5).

    Attributes:
        key_heads: heads of queries and keys.
        value_heads: heads of values.
        key_size: elements of a key's head.
        value_size: elements of a value's head.
        convolution: tokens of the convolution before it.
        recurrent_bytes: bytes of an element of the recurrent state (``mamba_ssm_dtype``).
    """

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    convolution: int
    recurrent_bytes: int = 2

    @property
    def keys(self) -> int:
        """The elements of all keys of a token."""
        return self.key_heads * self.key_size

    @property
    def values(self) -> int:
        """The elements of all values of a token."""
        return self.value_heads * self.value_size

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        keys, values, heads = self.keys / share.tensor, self.values / share.tensor, self.value_heads / share.tensor
        yield Matrix("attention", "linear_attn.in_proj_qkvz", share.hidden * (2 * keys + 2 * values))
        yield Matrix("attention", "linear_attn.in_proj_ba", share.hidden * 2 * heads)
        yield Matrix("attention", "linear_attn.out_proj", values * share.hidden, columns=values)
        small = (2 * keys + values) * self.convolution + 4 * heads + self.value_size
        yield Matrix("attention", "linear_attn.conv1d", small, plain=True)

    def state_bytes(self, form: CacheForm) -> int:
        convolution = (2 * self.keys + self.values) // form.tensor * (self.convolution - 1 + form.drafted)
        recurrent = self.value_heads // form.tensor * self.key_size * self.value_size
        return 2 * convolution + self.recurrent_bytes * recurrent

    def checkpoints(self, form: CacheForm) -> int:
        return 1 if self.checkpoint_grid(form) else 0

    def checkpoint_grid(self, form: CacheForm) -> int | None:
        """Return the grid of FlashInfer's kernels, which prefill on Hopper, and on Blackwell with keys of 128 elements.

        After ``_resolve_gdn_prefill_backend`` (``qwen_gdn_linear_attn.py``).
        """
        blackwell = form.capability in (BLACKWELL, BLACKWELL_WORKSTATION) and self.key_size == FLASHINFER_KEY
        return form.vllm.checkpoint_grid if blackwell or form.capability in (None, HOPPER) else None

    def peak(self, step: ProfileStep) -> float:
        """Return the bytes of the projection, the output, the gate, and the normed output (``forward_cuda``)."""
        return step.tokens * 2 / step.layout.tensor * (2 * self.keys + 5 * self.values)


@dataclass(frozen=True)
class Mamba2(State):
    """A Mamba-2 mixer (Nemotron-H).

    Attributes:
        heads: heads of the state.
        size: elements of a head.
        groups: groups of heads that share the projections B and C.
        state: elements of the state for each element of a head.
        convolution: tokens of the convolution before it.
        recurrent_bytes: bytes of an element of the state (``mamba_ssm_cache_dtype``).
    """

    heads: int
    size: int
    groups: int
    state: int
    convolution: int
    recurrent_bytes: int = 4

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        """Yield the matrices (``MambaMixer2``); groups are copied until each rank has one."""
        inner, heads = self.heads * self.size / share.tensor, self.heads / share.tensor
        shared = 2 * max(1.0, self.groups / share.tensor) * self.state
        yield Matrix("attention", "mixer.in_proj", share.hidden * (2 * inner + shared + heads))
        yield Matrix("attention", "mixer.out_proj", inner * share.hidden, columns=inner)
        small = (inner + shared) * (self.convolution + 1) + inner
        yield Matrix("attention", "mixer.conv1d", small, plain=True)
        yield Matrix("attention", "mixer.A", 3 * heads, each=4.0)

    def state_bytes(self, form: CacheForm) -> int:
        groups = max(1, self.groups // form.tensor)
        columns = self.heads * self.size // form.tensor + 2 * groups * self.state
        recurrent = self.heads // form.tensor * self.size * self.state
        return 2 * columns * (self.convolution - 1 + form.drafted) + self.recurrent_bytes * recurrent

    def peak(self, step: ProfileStep) -> float:
        """Return the bytes of the projection, the output, and two copies of what the convolution gets.

        Without metadata, as in the profile run, ``conv_ssm_forward`` copies it twice (``mamba_mixer2.py``).
        """
        inner, shared = self.heads * self.size, 2 * self.groups * self.state
        projected = 2 * inner + shared + self.heads
        return step.tokens * 2 / step.layout.tensor * (projected + inner + 2 * (inner + shared))


@dataclass(frozen=True)
class KimiDeltaAttention(State):
    """Kimi delta attention (KDA).

    Attributes:
        heads: heads of queries, keys, and values.
        size: elements of a head.
        convolution: tokens of the convolutions before it.
        full_gate: whether the gate of the output has one projection instead of two of a low rank.
        full_forget: whether the same is true for the gate of the state (Ling 3).
        recurrent_bytes: bytes of an element of the recurrent state.
    """

    heads: int
    size: int
    convolution: int
    full_gate: bool = False
    full_forget: bool = False
    recurrent_bytes: int = 4

    @property
    def split_heads(self) -> int:
        return self.heads

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        """Yield the matrices (``models/kimi_k3/nvidia/kda.py``)."""
        inner, heads = self.heads * self.size / share.tensor, self.heads / share.tensor
        low, full = share.hidden * self.size + self.size * inner, share.hidden * inner
        yield Matrix("attention", "self_attn.q_proj", 3 * full, "qkv_proj")
        yield Matrix("attention", "self_attn.f_a_proj", full if self.full_forget else low)
        yield Matrix("attention", "self_attn.g_proj", full if self.full_gate else low)
        yield Matrix("attention", "self_attn.b_proj", share.hidden * heads)
        yield Matrix("attention", "self_attn.o_proj", inner * share.hidden, columns=inner)
        yield Matrix("attention", "self_attn.conv1d", 3 * inner * self.convolution + self.size, plain=True)
        yield Matrix("attention", "self_attn.A_log", heads + inner, each=4.0)

    def state_bytes(self, form: CacheForm) -> int:
        convolution = 3 * self.heads * self.size // form.tensor * (self.convolution - 1 + form.drafted)
        return 2 * convolution + self.recurrent_bytes * (self.heads // form.tensor * self.size**2)

    def peak(self, step: ProfileStep) -> float:
        return step.tokens * 2 / step.layout.tensor * 5 * self.heads * self.size


@dataclass(frozen=True)
class LightningAttention(State):
    """Linear attention with a fixed decay for each head (Ling 2.5, ``bailing_moe_linear.py``).

    Attributes:
        heads: heads of queries, keys, and values.
        size: elements of a head.
        recurrent_bytes: bytes of an element of the state.
    """

    heads: int
    size: int
    recurrent_bytes: int = 2

    @property
    def split_heads(self) -> int:
        return self.heads

    def checkpoints(self, form: CacheForm) -> int:
        return 0

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        inner = self.heads * self.size / share.tensor
        yield Matrix("attention", "attention.query_key_value", 3 * share.hidden * inner)
        yield Matrix("attention", "attention.g_proj", share.hidden * inner)
        yield Matrix("attention", "attention.dense", inner * share.hidden, columns=inner)
        yield Matrix("attention", "attention.g_norm", inner, plain=True)

    def state_bytes(self, form: CacheForm) -> int:
        return self.recurrent_bytes * (self.heads // form.tensor * self.size**2)

    def peak(self, step: ProfileStep) -> float:
        return step.tokens * 2 / step.layout.tensor * 5 * self.heads * self.size
