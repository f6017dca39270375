"""The planner reads the headers of a checkpoint that the safetensors library wrote and vLLM serves."""

from __future__ import annotations

import pytest

from localcluster.engine import checkpoint
from vmn.adapters.models import load_model
from vmn.core.planning.memory.weights import stored_shares

pytestmark = pytest.mark.engine


def test_tiny_checkpoint_has_what_its_shapes_say() -> None:
    model = load_model(None, checkpoint.prepare())
    assert model.architecture.stored is not None
    assert stored_shares(model.architecture) == pytest.approx([1.0] * (len(model.architecture.layers) + 1))
