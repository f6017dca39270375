"""The pictures of docs/architecture.md: which packages and arrows they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from chartfiles.architecture import (
    contracts,
    imported,
    imports,
    layers_picture,
    objects_table,
    owner,
    packages,
    release_picture,
)
from kit.paths import CHECKOUT
from vmn.core.values.yaml import Values

PYPROJECT = """
[tool.importlinter]
root_packages = ["app", "tool"]
[[tool.importlinter.contracts]]
type = "forbidden"
[[tool.importlinter.contracts]]
type = "layers"
layers = ["app.top", "app.middle", "app.bottom"]
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a directory with two packages, one of them in layers."""
    for name, code in {
        "app/top/__init__.py": "import app.bottom.things\n",
        "app/middle/work.py": "def run():\n    from app import bottom\n",
        "app/bottom/things.py": "import json\n",
        "app/alone/__init__.py": "",
        "tool/__main__.py": "from app.top import thing\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    return tmp_path


def test_packages_are_the_layers_then_the_others(tools: Path) -> None:
    assert packages(tools, *contracts(PYPROJECT)) == ["app.top", "app.middle", "app.bottom", "app.alone", "tool"]


def test_contracts_reads_layers_in_a_container_and_side_by_side() -> None:
    text = PYPROJECT.replace('layers = ["app.top", "app.middle", "app.bottom"]', 'layers = ["top", "left | (right)"]')
    assert contracts(text + 'containers = ["app"]\n')[1] == ["app.top", "app.left", "app.right"]


def test_imports_are_found_between_packages(tools: Path) -> None:
    drawn = packages(tools, *contracts(PYPROJECT))
    assert imports(tools, drawn) == {("app.top", "app.bottom"), ("app.middle", "app.bottom"), ("tool", "app.top")}


def test_picture_has_a_dotted_arrow_when_an_import_skips_a_layer(tools: Path) -> None:
    roots, layers = contracts(PYPROJECT)
    drawn = packages(tools, roots, layers)
    lines = layers_picture(drawn, layers, imports(tools, drawn)).splitlines()
    assert "  app_top -.-> app_bottom" in lines
    assert "  app_middle --> app_bottom" in lines
    assert "  tool --> app_top" in lines


def test_imported_lists_modules_and_what_is_taken_from_them() -> None:
    assert imported("import a.b\nfrom c import d\n") == ["a.b", "c", "c.d"]


def test_owner_compares_whole_names() -> None:
    assert owner("app.topmost.x", ["app.top"]) is None


def test_release_picture_has_a_pod_for_each_node() -> None:
    values: Values = {"group": {"nodes": 3, "gpusPerNode": 4}, "parallelism": {}, "service": {"port": 80}}
    drawn = release_picture("values/a.yaml", values)
    assert "pod vllm-0-2 (worker)<br/>4 GPUs, ranks 8 to 11" in drawn
    assert "tensor 4, pipeline 3" in drawn


def test_objects_table_names_the_template_of_every_kind() -> None:
    table = objects_table(CHECKOUT / "charts" / "vllm-multinode" / "templates")
    assert "| LeaderWorkerSet | `templates/" in table
