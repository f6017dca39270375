"""A worker that neither answers nor ends, as when NCCL or the GPU's driver hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults import injections
from faults.injections import WORKER
from faults.results import keep, measured
from faults.scene import START_LIMIT, Scene
from faults.styles import SLOWLY, Chart, Style
from kit.traffic import PROBE

pytestmark = pytest.mark.faults
TIMEOUT = 30
"""Seconds for one step of the engine; vLLM's own are 300, too many for a test."""
WATCHED = 150
"""Seconds, of a style whose bound is vLLM's own."""


def start(style: Style) -> None:
    """Start a style, the chart with the value that bounds a hang."""
    if isinstance(style, Chart):
        style.start({"engine": {"env": {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": str(TIMEOUT)}}})
    else:
        style.start()


def test_hang_of_a_worker_is_bounded_by_the_engine_s_timeout(style: Style) -> None:
    style = replace(style, start_method=SLOWLY)
    scene = Scene(style, start)
    scene.start()
    outcome = scene.run(injections.freeze(WORKER), PROBE, limit=START_LIMIT if isinstance(style, Chart) else WATCHED)
    keep(f"worker frozen, engine's timeout {TIMEOUT} s (guide: vLLM's 300 s)", style, measured(outcome))
    if isinstance(style, Chart):
        assert not outcome.hang
        assert outcome.requests.longest_hang < TIMEOUT + 15
        assert outcome.requests.outage is not None
        assert outcome.requests.outage < TIMEOUT + 15 + 1.3 * scene.plain_start
        assert outcome.tells("RPC call to .* timed out|a rank did not answer in time"), outcome.told
