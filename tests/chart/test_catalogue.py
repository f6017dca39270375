"""The presets: each renders, matches its header, and passes all rings."""

from __future__ import annotations

from pathlib import Path

import pytest

from chartfiles.catalogue import CATALOGUE as ENTRIES
from kit.paths import CHART, CHECKOUT, MAIN_PRESETS, OTHER_PRESETS, name_of
from kit.render import helm_program, render
from vmn.app.validation import values_problems
from vmn.app.values_file import command_line
from vmn.core.planning.gpus import find_gpu

pytestmark = pytest.mark.slow
FILES = [*OTHER_PRESETS, *(file for file in MAIN_PRESETS if file.stem in ENTRIES)]


def test_catalogue_matches_the_directory() -> None:
    assert {file.stem for file in FILES} == set(ENTRIES)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_file_passes_all_rings_on_its_gpu_and_renders(file: Path) -> None:
    asked = ENTRIES[file.stem]
    found = values_problems(CHART, file, helm=str(helm_program()), gpu=find_gpu(asked.gpu))
    assert [f"{item.key} {item.message}" for item in found] == []
    group = render(None, file).one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    container = group["leaderTemplate"]["spec"]["containers"][0]
    assert group["size"] == asked.nodes
    assert container["resources"]["limits"] == {"nvidia.com/gpu": asked.gpus_per_node}
    assert command_line(asked) in (CHECKOUT / "values" / file.name).read_text(encoding="utf-8")
