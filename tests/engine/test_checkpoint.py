"""The tiny checkpoint: what the planner reads in it, what it knows, and that the script still makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.engine import checkpoint
from vmn.adapters.models import load_model
from vmn.core.planning.memory.weights import stored_shares

pytestmark = pytest.mark.engine


def test_tiny_checkpoint_has_what_its_shapes_say() -> None:
    model = load_model(None, checkpoint.prepare())
    assert model.architecture.stored is not None
    assert stored_shares(model.architecture) == pytest.approx([1.0] * (len(model.architecture.layers) + 1))


def test_tiny_checkpoint_is_made_by_its_script_and_both_know_their_corpus(tmp_path: Path) -> None:
    checkpoint.train(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in checkpoint.FOLDER.iterdir()}
    assert load_model(None, tmp_path).architecture == load_model(None, checkpoint.FOLDER).architecture
