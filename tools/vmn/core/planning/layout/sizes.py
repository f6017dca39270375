"""A layout: how a model is divided over the GPUs of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, order=True)
class Layout:
    """Parallel sizes; the product of tensor, pipeline and data is the number of GPUs.

    Attributes:
        tensor: number of ranks that share each layer.
        pipeline: number of stages that the layers are divided into.
        data: number of copies of attention in one engine.
        expert: whether whole experts are spread over tensor x data ranks.
        decode_context: number of ranks of a tensor parallel group that share the KV cache by tokens.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    decode_context: int = 1

    @property
    def gpus(self) -> int:
        """The number of GPUs of the layout."""
        return self.tensor * self.pipeline * self.data


def derived_layout(
    nodes: int,
    gpus_per_node: int,
    *,
    tensor: int | None = None,
    pipeline: int | None = None,
    data: int | None = None,
    expert: bool | None = None,
    decode_context: int | None = None,
) -> Layout:
    """Return the layout of a group, with unset sizes derived as the chart's templates derive them.

    Without data parallelism each node is a pipeline stage; tensor parallelism takes the remaining GPUs.
    """
    data = data or 1
    pipeline = pipeline or (nodes if data == 1 else 1)
    tensor = tensor or max(1, nodes * gpus_per_node // (data * pipeline))
    return Layout(tensor, pipeline, data, bool(expert), decode_context or 1)


def stage_layers(layers: int, stages: int) -> list[int]:
    """Return the number of layers of each pipeline stage, as vLLM's ``get_pp_indices`` deals them out.

    The remainder goes to one stage each, backwards from the last but one: 61 layers over 4 stages are 15, 15, 16, 15.
    """
    counts = [layers // stages] * stages
    for extra in range(layers % stages):
        counts[-2 - extra if stages > 1 else 0] += 1
    return counts


def stage_bounds(layers: int, stages: int, partition: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Return for each pipeline stage its first layer, and the layer after its last one.

    Args:
        layers: layers of the model.
        stages: pipeline stages.
        partition: layers of each stage, if the user gives them and they are as many; otherwise as vLLM deals them out.
    """
    given = partition if partition and (len(partition), sum(partition)) == (stages, layers) else None
    ends = list(accumulate(given or stage_layers(layers, stages)))
    return list(zip([0, *ends], ends, strict=False))
