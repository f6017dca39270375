"""How a model is spread over GPUs, and what of it a rank gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Layout:
    """Ranks by kind of parallelism; their product is the number of GPUs.

    Attributes:
        tensor: ranks that share each layer.
        pipeline: stages of layers.
        data: copies of attention, in one engine.
        expert: whole experts are spread over tensor x data ranks.
        decode_context: ranks of a tensor-parallel group that share the KV cache by tokens.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    decode_context: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of the layout."""
        return self.tensor * self.pipeline * self.data


def stage_layers(layers: int, stages: int) -> list[int]:
    """Return how many layers each pipeline stage gets, as vLLM's ``get_pp_indices`` deals them out.

    The remainder goes to one stage each, from the last but one backwards: 61 layers over 4 stages are 15, 15, 16, 15.
    """
    counts = [layers // stages] * stages
    for extra in range(layers % stages):
        counts[-2 - extra if stages > 1 else 0] += 1
    return counts
