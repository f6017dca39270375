"""The kit's look at what the start script gives to vLLM."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from kit.render import render
from kit.scripts import namespace
from kit.startscript import PEER, vllm_words

R1: dict[str, Any] = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
may_unshare = subprocess.run([*namespace(), "true"], capture_output=True, check=False).returncode == 0
pytestmark = pytest.mark.skipif(not may_unshare, reason="needs namespaces of its own")


def test_vllm_words_are_the_rendered_arguments_and_what_the_script_adds() -> None:
    manifests = render(R1)
    words = vllm_words(manifests, 1)
    assert words[:2] == ["serve", "deepseek-ai/DeepSeek-R1"]
    assert words[-9:] == [
        "--nnodes",
        "2",
        "--node-rank",
        "1",
        "--master-addr",
        PEER,
        "--master-port",
        "29501",
        "--headless",
    ]


def test_vllm_words_are_none_when_the_pod_is_a_ray_worker() -> None:
    manifests = render({**R1, "engine": {"backend": "ray"}})
    assert "--distributed-executor-backend" in vllm_words(manifests, 0)
    assert vllm_words(manifests, 1) == []
