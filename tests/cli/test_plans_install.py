"""Each plan that fits passes all three rings of checks, one of which renders it with Helm."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.paths import CHART
from kit.render import helm_program
from unit.planning_data.registry import planned
from vmn.cli import main
from vmn.core.planning.gpus import GPUS

pytestmark = pytest.mark.slow

EXAMPLES = 120
"""Number of plans, each of which takes about a tenth of a second."""
KINDS: tuple[list[str], ...] = (
    [],
    ["--expert"],
    ["--data", "2"],
    ["--tensor", "1", "--data", "8"],
    ["--tensor", "2"],
    ["--pipeline", "1"],
)


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.output


@pytest.fixture(scope="module", autouse=True)
def _helm_on_path() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(helm_program().parent), prepend=":")
        yield patch


@given(
    number=st.integers(0, 999),
    gpu=st.sampled_from([gpu.name for gpu in GPUS]),
    nodes=st.integers(1, 4),
    gpus=st.sampled_from([1, 2, 4, 8]),
    network=st.sampled_from(["tcp", "infiniband"]),
    kind=st.sampled_from(KINDS),
)
@settings(max_examples=EXAMPLES)
def test_plan_that_fits_passes_every_ring(
    number: int, gpu: str, nodes: int, gpus: int, network: str, kind: list[str]
) -> None:
    model = planned()[number % len(planned())].name
    sizes = ["--nodes", str(nodes), "--gpus-per-node", str(gpus), "--network", network]
    status, text = call("generate", model, "--gpu", gpu, *sizes, *kind)
    if status:
        assert status in (1, 2)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder, "values.yaml")
        file.write_text(text, encoding="utf-8")
        checked = call("validate", str(file), "--gpu", gpu, "--chart", str(CHART))
    assert checked == (0, "no problems in 1 file\n"), f"{text}\n{checked[1]}"
