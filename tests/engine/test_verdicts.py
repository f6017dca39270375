"""``vmn validate`` against the engine's own vLLM: the command lines of recipes, each word changed, and each flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.insidevllm import ask
from localcluster.engine.packages import VLLM_VERSION
from unit.vllm_data import samples
from unit.vllm_data.verdicts import asked_samples
from vmn.adapters.vllm_interface import load_interface
from vmn.core.values.vllm_rules import vllm_problems

pytestmark = pytest.mark.engine
SCRIPT = Path(__file__).with_name("parse_arguments.py")
SHARE = 0.99
"""Part of the values on which vmn and vLLM must agree; tests/unit/test_vllm_verdicts.py says where they differ."""


def test_vmn_judges_flags_as_the_engine_does(tmp_path: Path) -> None:
    interface = load_interface(".".join(VLLM_VERSION.split(".")[:2]))
    assert interface
    lines = asked_samples(interface)
    said = ask(SCRIPT, lines, tmp_path, f"vLLM's parser over {len(lines)} values of flags")
    tried = {f"{name} {number}": args for name, every in samples.cases(interface) for number, args in enumerate(every)}
    problems = {name: vllm_problems({"engine": {"args": args}}, interface, {}) for name, args in tried.items()}
    different = {name: said[name] for name in tried if bool(problems[name]) != bool(said[name])}
    assert len(different) < (1 - SHARE) * len(tried), different
