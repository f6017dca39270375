"""Command lines of vLLM's recipes as values: all rings of ``vmn validate`` take those that vLLM 0.33 takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kit.paths import CHART
from kit.render import helm_program
from kit.servelines import values_of
from unit.vllm_data.verdicts import Verdict, verdicts
from vmn.app.validation import values_problems

TAKEN = [verdict for verdict in verdicts("0.33") if verdict.changed < 0 and not verdict.message][:20]


def written(verdict: Verdict, folder: Path) -> Path:
    """Write the values of a line for vLLM 0.33."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump({**values_of(verdict.words), "image": {"tag": "v0.33.0"}}))
    return file


@pytest.mark.parametrize("verdict", TAKEN, ids=lambda verdict: verdict.words[verdict.words.index("serve") + 1])
def test_values_of_a_recipe_are_accepted(verdict: Verdict, tmp_path: Path) -> None:
    assert values_problems(CHART, written(verdict, tmp_path), helm=str(helm_program())) == []


def test_values_of_a_recipe_with_one_word_changed_are_refused(tmp_path: Path) -> None:
    words = tuple("qwen3_codr" if word == "qwen3_coder" else word for word in TAKEN[0].words)
    assert words != TAKEN[0].words
    (problem,) = values_problems(CHART, written(Verdict(words, 0, ""), tmp_path), helm=str(helm_program()))
    assert (problem.key, problem.ring, problem.fix) == ("engine.args.tool-call-parser", "vllm", "Write qwen3_coder.")
