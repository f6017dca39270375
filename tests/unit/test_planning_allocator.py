"""How weights are stored in a GPU's memory."""

from __future__ import annotations

import pytest

from vmn.core.planning.memory.allocator import MIB, MxForm, Storage

SPLIT = Storage(rounded=True)
WHOLE = Storage(rounded=True, whole_blocks=True)


@pytest.mark.parametrize(
    ("storage", "mib", "unused"),
    [
        pytest.param(SPLIT, 231, 1, id="a rest of 1 MiB stays with its block: Qwen2.5 72B's down_proj over two GPUs"),
        pytest.param(SPLIT, 220.5, 0, id="a larger one is split off"),
        pytest.param(WHOLE, 220.5, 1.5, id="unless blocks are not split while the model loads: Gemma 3's down_proj"),
        pytest.param(WHOLE, 16.5, 0, id="which holds for 20 MiB and more"),
        pytest.param(WHOLE, 84, 0, id="a block that is used in full"),
        pytest.param(WHOLE, 9.5, 0, id="small tensors share blocks"),
        pytest.param(Storage(), 231, 0, id="a checkpoint has no blocks"),
    ],
)
def test_rest_of_a_block_counts(storage: Storage, mib: float, unused: float) -> None:
    assert storage.unused(mib * MIB) == unused * MIB


@pytest.mark.parametrize(
    ("form", "weights", "scales"),
    [
        pytest.param("plain", (2880 * 5760 / 2, 2880 * 2880 / 2), (90 * 5760, 90 * 2880), id="checkpoint"),
        pytest.param("inner", (3072 * 5760 / 2, 3072 * 2880 / 2), (90 * 5760, 90 * 2880), id="Hopper before 0.26"),
        pytest.param("scales", (2880 * 5760 / 2, 2880 * 2880 / 2), (92 * 5888, 92 * 3072), id="Hopper"),
        pytest.param("both", (3072 * 5888 / 2, 2944 * 3072 / 2), (96 * 5888, 92 * 3072), id="other GPUs"),
    ],
)
def test_mxfp4_experts_are_padded(form: MxForm, weights: tuple[float, float], scales: tuple[float, float]) -> None:
    found = Storage(mxfp4=form).mxfp4_bytes(2880, 2880)
    assert (found["w13_weight"], found["w2_weight"]) == weights
    assert (found["w13_weight_scale"], found["w2_weight_scale"]) == scales
