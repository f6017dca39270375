"""Feed-forward parts: dense ones, and mixtures of experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import FeedForward, Matrix, ProfileStep, WeightShare
from vmn.core.planning.gpus import HOPPER
from vmn.core.planning.layout.sizes import Layout

EXPERT = "mlp.experts.0.gate_proj"


@dataclass(frozen=True)
class Dense(FeedForward):
    """A feed-forward layer of ``intermediate`` elements, with or without a gate next to its up projection."""

    intermediate: int
    bias: bool = False
    gated: bool = True

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        split = self.intermediate / share.tensor
        yield Matrix("feed-forward", "mlp.gate_up_proj", (2 if self.gated else 1) * share.hidden * split)
        yield Matrix("feed-forward", "mlp.down_proj", share.hidden * split, columns=split)
        yield Matrix("feed-forward", "mlp.bias", (2 * split + share.hidden) * self.bias, plain=True)

    def dense_peak(self, step: ProfileStep) -> float:
        return step.tokens * 2 * 3 * self.intermediate / step.layout.tensor


@dataclass(frozen=True)
class Experts(FeedForward):
    """A mixture of experts.

    Attributes:
        count: routed experts.
        active: experts that process each token.
        intermediate: elements of a routed expert.
        shared: elements of all shared experts together, 0 without shared experts.
        shared_gate: whether the shared expert has a gate of one element.
        router_bias: whether the router has a bias of one 32-bit number per expert.
        bias: whether experts have biases (gpt-oss).
        latent: elements of a token's state that the routed experts see, 0 for all of the model's (latent MoE).
        gated: whether experts have a gate next to their up projection.
        router_bytes: bytes of an element of the router.
        idle: experts of the router that do nothing (LongCat's zero experts).
        hashed: words of a table that routes by token instead of a bias (DeepSeek V4), 0 without one.
        normed: whether the block has a norm of the size of a token's state.
        rounds_inputs: whether experts in MXFP4 get their inputs in 8 bits, for which Hopper has Humming's kernels.
    """

    count: int
    active: int
    intermediate: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False
    latent: int = 0
    gated: bool = True
    router_bytes: float | None = None
    idle: int = 0
    hashed: int = 0
    normed: bool = True
    rounds_inputs: bool = False

    @property
    def norms(self) -> int:
        return int(self.normed)

    @property
    def ups(self) -> int:
        """The matrices of an expert before its down projection: gate and up, or only up."""
        return 2 if self.gated else 1

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        yield from self._routed(share)
        router = share.hidden * (self.count + self.idle)
        yield Matrix("routers", "mlp.gate", router, plain=True, each=self.router_bytes)
        bias = (self.count + self.idle) * self.router_bias + self.hashed * self.active
        yield Matrix("routers", "mlp.gate.e_score_correction_bias", bias, each=4.0)
        if self.latent:  # both are copied to each rank (``fc1_latent_proj``, ``fc2_latent_proj``)
            yield Matrix("feed-forward", "mlp.fc1_latent_proj", share.hidden * self.latent)
            yield Matrix("feed-forward", "mlp.fc2_latent_proj", share.hidden * self.latent)
        if self.shared:
            split = self.shared if shared_is_copied(share.layout) else self.shared / share.tensor
            yield Matrix("feed-forward", "mlp.shared_experts.gate_proj", self.ups * share.hidden * split)
            yield Matrix("feed-forward", "mlp.shared_experts.down_proj", share.hidden * split, columns=split)
            yield Matrix("routers", "mlp.shared_expert_gate", share.hidden * self.shared_gate, plain=True)

    def _routed(self, share: WeightShare) -> Iterator[Matrix]:
        hidden = self.latent or share.hidden
        experts, width = self.share_of(share.layout)
        biases = experts * (self.ups * width + hidden) * self.bias
        if share.packed:
            for name, size in share.storage.mxfp4_bytes(hidden, width).items():
                yield Matrix("experts", EXPERT, experts * size, name, each=1.0)
            yield Matrix("experts", "mlp.experts.bias", biases, each=share.storage.mxfp4_bias_bytes)
            return
        yield Matrix("experts", EXPERT, experts * self.ups * hidden * width, "w13_weight")
        yield Matrix("experts", EXPERT, experts * hidden * width, "w2_weight", columns=width)
        yield Matrix("experts", "mlp.experts.bias", biases, plain=True)

    def share_of(self, layout: Layout) -> tuple[int, float]:
        """Return the number of experts on the fullest rank, and the number of elements of each.

        Without expert parallelism each expert is divided over tensor x data ranks; with it, whole experts are
        distributed, and the first ranks get one more if the numbers do not match.
        """
        ranks = layout.tensor * layout.data
        if layout.expert:
            return -(-self.count // ranks), float(self.intermediate)
        return self.count, self.intermediate / ranks

    def dense_peak(self, step: ProfileStep) -> float:
        return step.tokens * 2 * 3 * self.shared / step.layout.tensor

    def workspace(self, step: ProfileStep) -> float:
        """Return the bytes of the two buffers of fused experts (``TritonExperts.workspace_shapes``)."""
        _, width = self.share_of(step.layout)
        if step.packed and step.vllm.since >= (0, 33):  # Triton's kernels for gpt-oss keep no workspace
            return self._humming_workspace(step, width) if self.rounds_inputs and step.capability == HOPPER else 0.0
        hidden, ups = self.latent or step.hidden, self.ups
        tokens = step.tokens * step.layout.data
        rows = min(tokens, step.vllm.expert_chunk or tokens) * self.active
        if step.vllm.since < (0, 19):  # the first and last result share a buffer (fused_experts_impl)
            return rows * 2 * (max(ups * width, hidden) + width)
        return rows * 2 * (max(width, hidden) + max(ups * width, hidden))

    def _humming_workspace(self, step: ProfileStep, width: float) -> float:
        """Return the bytes of the two buffers of ``HummingExpertsBase.get_buffer_metas``.

        Each of them holds every second one of: the inputs in 8 bits, what the up projection returns, the inputs of the
        down projection in 8 bits, what that returns for each expert, and the sum of it.
        """
        tokens = step.tokens * step.layout.data
        rows = tokens * self.active
        return max(rows * width, tokens * step.hidden * 2) + rows * 2 * max(step.hidden, self.ups * width)


def shared_is_copied(layout: Layout) -> bool:
    """Return whether each rank has all shared experts, and gets other tokens (sequence parallel MoE)."""
    return layout.expert and layout.tensor > 1 and layout.data > 1
