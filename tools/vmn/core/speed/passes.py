"""Seconds of one pass of a batch through the layers of a model.

A group of matrices takes about as long as the slower of reading it and computing with it, and a little longer where
both are close: the cube root of the sum of cubes. Attention, exchanges, and the fixed time of kernels come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmn.core.speed.factors import LARGE_PASS, Factors
from vmn.core.speed.hardware import Chip, Link
from vmn.core.speed.layer_work import Gemm, LayerWork
from vmn.core.speed.mixer_work import MixerWork

NATIVE_FP4 = 0.5
"""Bytes of an element of 4 bits, in a chip's operations by element."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass computes, for one data-parallel replica.

    Attributes:
        decodes: requests that decode.
        context: tokens before each of them, on average.
        prompt: tokens of prompts.
        pairs: pairs of a prompt's token and a token before it, itself included.
        width: tokens that each decoding request brings: one, and drafts to verify.
    """

    decodes: float = 0.0
    context: float = 0.0
    prompt: float = 0.0
    pairs: float = 0.0
    width: float = 1.0

    @property
    def tokens(self) -> float:
        """Tokens of the pass."""
        return self.decodes * self.width + self.prompt


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds by what takes them.

    Attributes:
        memory: reading weights and the KV cache.
        compute: matrices and attention.
        exchange: all-reduces and exchanges of experts.
        host: kernels' fixed times, launches, scheduling, and the call itself.
        pipeline: stages that wait for others.
    """

    memory: float = 0.0
    compute: float = 0.0
    exchange: float = 0.0
    host: float = 0.0
    pipeline: float = 0.0

    @property
    def total(self) -> float:
        """The sum of all."""
        return self.memory + self.compute + self.exchange + self.host + self.pipeline

    def __add__(self, other: Parts) -> Parts:
        """Return the sum, part by part."""
        return Parts(
            self.memory + other.memory,
            self.compute + other.compute,
            self.exchange + other.exchange,
            self.host + other.host,
            self.pipeline + other.pipeline,
        )

    def times(self, factor: float) -> Parts:
        """Return each part times a factor."""
        return Parts(
            self.memory * factor,
            self.compute * factor,
            self.exchange * factor,
            self.host * factor,
            self.pipeline * factor,
        )


@dataclass(frozen=True)
class Exchange:
    """All-reduces of a tensor parallel group, and exchanges of experts between data-parallel replicas.

    Attributes:
        link: the slowest link of the group.
        tensor: ranks of the tensor parallel group.
        replicas: data-parallel replicas.
        context: ranks that share the KV cache by tokens.
        experts_link: the slowest link between replicas.
    """

    link: Link
    tensor: int = 1
    replicas: int = 1
    experts_link: Link | None = None
    context: int = 1


@dataclass(frozen=True)
class ModelWork:
    """The layers of a model on one rank, of all stages together.

    Attributes:
        layers: different layers with their number.
        head: the output head.
        graph_tokens: tokens of the largest CUDA graph, 0 without graphs.
    """

    layers: Sequence[tuple[LayerWork, int]]
    head: Gemm
    graph_tokens: int


@dataclass(frozen=True)
class Formula:
    """The formula for one GPU and its links.

    Attributes:
        chip: limits of the GPU.
        factors: fitted numbers.
        exchange: exchanges between ranks.
    """

    chip: Chip
    factors: Factors
    exchange: Exchange

    def pass_parts(self, model: ModelWork, batch: Pass, sampled: float) -> Parts:
        """Return the seconds of a pass through all layers, without the host's part for each request.

        Args:
            model: the layers.
            batch: what the pass computes.
            sampled: requests that get a token from this pass, for the output head.
        """
        factors, tokens = self.factors, batch.tokens
        in_graph = tokens <= model.graph_tokens
        share = factors.flops * (1.0 if tokens >= LARGE_PASS else factors.small_pass)
        memory = compute = exchange = host = launches = 0.0
        for work, count in model.layers:
            times = [self._gemm(gemm, tokens, share) for gemm in work.gemms]
            times += [self._experts(work, tokens), *(self._decoding(mixer, batch) for mixer in work.mixers)]
            for read, computed in times:
                both = (read**3 + computed**3) ** (1 / 3)
                if read >= computed:
                    memory += count * both
                else:
                    compute += count * both
            memory += count * factors.elementwise * work.state_bytes * tokens / self.chip.bandwidth
            compute += count * sum(self._prompts(mixer, batch) for mixer in work.mixers)
            exchange += count * self._exchange(work, tokens, in_graph)
            host += count * self._fixed(work)
            launches += count * (factors.host_expert if work.experts else factors.host_dense)
            launches += count * factors.host_tensor * (self.exchange.tensor > 1)
        read, computed = self._gemm(model.head, sampled, factors.flops * factors.small_pass)
        memory += max(read, computed)
        if not in_graph:
            host += max(0.0, launches - (memory + compute + exchange + host))
        return Parts(memory, compute, exchange, host)

    def _fixed(self, work: LayerWork) -> float:
        """Return the seconds that a layer's kernels take however small the batch is."""
        factors = self.factors
        mixers = sum(self._mixer_fixed(mixer) for mixer in work.mixers)
        experts = factors.expert_fixed * bool(work.experts) + factors.unpack_fixed * self._unpacks(work)
        return mixers + factors.mlp_fixed * work.parts + experts

    def _unpacks(self, work: LayerWork) -> bool:
        """Return whether the kernels of the experts unpack elements of 4 bits, as the GPU can't compute with them."""
        return bool(work.experts and work.experts.packed and NATIVE_FP4 not in self.chip.flops)

    def _mixer_fixed(self, mixer: MixerWork) -> float:
        factors = self.factors
        seconds = factors.attention_fixed * (mixer.kind != "rows") + factors.state_fixed * (mixer.kind == "state")
        seconds += factors.norm_fixed * mixer.normed + factors.latent_fixed * (mixer.kind == "latent")
        return seconds + factors.index_fixed * bool(mixer.index_flops)

    def _gemm(self, gemm: Gemm, tokens: float, share: float, touched: float = 1.0) -> tuple[float, float]:
        """Return the seconds to read matrices, and those to compute with them."""
        flops, factors = self.chip.flops, self.factors
        element = gemm.element if gemm.element in flops else 2.0
        if element != 2.0:
            share *= factors.fp8_flops / factors.flops
        read = gemm.size * touched / (self.chip.bandwidth * factors.bandwidth)
        return read, gemm.flops * tokens / (flops[element] * share)

    def _experts(self, work: LayerWork, tokens: float) -> tuple[float, float]:
        if not work.experts:
            return 0.0, 0.0
        everywhere = tokens * self.exchange.replicas
        touched = 1 - (1 - work.active / work.count) ** everywhere
        read, computed = self._gemm(work.experts, everywhere, self.factors.expert_flops, touched)
        return read / (self.factors.unpack_bandwidth if self._unpacks(work) else 1.0), computed

    def _decoding(self, mixer: MixerWork, batch: Pass) -> tuple[float, float]:
        """Return the seconds to read the KV cache and states of decoding requests, and those to compute with them."""
        if not batch.decodes:
            return 0.0, 0.0
        seen = min(batch.context, mixer.window) if mixer.window else batch.context
        size = mixer.kv_bytes * seen + mixer.index_bytes * batch.context + 2 * mixer.state
        flops = mixer.decode_flops * seen + mixer.state_flops + mixer.index_flops * batch.context
        read = self.chip.bandwidth * self.factors.bandwidth
        peak = self.chip.flops[2.0] * self.factors.latent_flops
        return batch.decodes * size / read, batch.decodes * batch.width * flops / peak

    def _prompts(self, mixer: MixerWork, batch: Pass) -> float:
        """Return the seconds of attention over prompts."""
        pairs = min(batch.pairs, batch.prompt * mixer.window) if mixer.window else batch.pairs
        flops = mixer.pair_flops * pairs + mixer.index_flops * batch.pairs + mixer.state_flops * batch.prompt
        return flops / (self.chip.flops[2.0] * self.factors.attention_flops)

    def _exchange(self, work: LayerWork, tokens: float, in_graph: bool) -> float:
        exchange, size = self.exchange, tokens * work.state_bytes
        seconds = 0.0
        if exchange.tensor > 1:
            reduces = sum(mixer.kind != "rows" for mixer in work.mixers) + work.parts
            seconds += reduces * all_reduce(exchange.link, exchange.tensor, size, in_graph)
        if exchange.context > 1:
            # queries are gathered, and outputs reduced: two exchanges of about a token's state
            shared = sum(mixer.kind in ("grouped", "latent") for mixer in work.mixers)
            seconds += 2 * shared * all_reduce(exchange.link, exchange.context, size / exchange.tensor, in_graph)
        if exchange.replicas > 1 and work.experts and exchange.experts_link:
            # all replicas' tokens are gathered before the experts, and reduced after them
            seconds += all_reduce(exchange.experts_link, exchange.replicas, size * exchange.replicas, in_graph)
        return seconds


def all_reduce(link: Link, ranks: int, size: float, in_graph: bool) -> float:
    """Return the seconds of an all-reduce of ``size`` bytes: a ring's bytes, and a delay by the ranks' logarithm."""
    steps = (ranks - 1).bit_length()
    delay = link.delay if in_graph else link.outside
    return delay * (1 + 0.5 * (steps - 1)) + 2 * (ranks - 1) / ranks * size / link.reduces_at(ranks)
