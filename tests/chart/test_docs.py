"""Documents are true: their commands fit the chart, their values render, their keys and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from chartfiles.schema import schema_leaves
from chartfiles.tables import lookup
from kit.documents.markdown import Block, anchors, blocks, dotted_names, links
from kit.documents.release import MODEL
from kit.documents.rules import check_commands
from kit.paths import CHART, CHECKOUT, OVERLAYS, name_of
from kit.render import HelmFailed, helm_program, render
from vmn.core.values import parse_values

NEEDS_A_RELEASE = ("reliability", "weights", "caches", "disaggregation")
"""Guides whose commands ask for a release, nodes or files of the reader: only their keys and links are checked."""
COMMANDED = [
    CHECKOUT / "README.md",
    *(file for file in sorted((CHECKOUT / "docs").glob("*.md")) if file.stem not in NEEDS_A_RELEASE),
    *(CHART / name for name in ("README.md", "UPGRADING.md")),
    CHECKOUT / "values" / "README.md",
]
"""Files of which every block is checked."""
DOCUMENTS = [
    *COMMANDED,
    *(CHECKOUT / "docs" / f"{name}.md" for name in NEEDS_A_RELEASE),
    *(CHECKOUT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "images/vllm-ray/README.md")),
    *(CHECKOUT / name for name in ("SECURITY.md", "tests/kit/README.md")),
    *sorted((CHECKOUT / "docs" / "decisions").glob("*.md")),
]

CHECKED = frozenset({"bash", "console", "yaml", "text", "mermaid"})
"""Languages of blocks; ``text`` is what others print, ``mermaid`` is drawn by ``make generate``."""


def titled(item: object) -> str:
    """Return a block's or file's place, for the ids of tests."""
    return str(item.relative_to(CHECKOUT)) if isinstance(item, Path) else str(item)


def blocks_in(*languages: str) -> list[Block]:
    """Return the blocks in one of the languages, of all files whose blocks are checked."""
    return [block for file in COMMANDED for block in blocks(file) if block.language in languages]


each_document = pytest.mark.parametrize("file", DOCUMENTS, ids=titled)


def test_every_block_is_in_a_language_that_is_checked() -> None:
    strange = {str(block): block.language for file in COMMANDED for block in blocks(file)}
    strange = {where: language for where, language in strange.items() if language not in CHECKED}
    assert strange == {}, "use bash, console, yaml, or text for messages"


@pytest.fixture
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where documents tell their readers to be: in the checkout, with helm on PATH."""
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    monkeypatch.chdir(CHECKOUT)


@pytest.mark.usefixtures("in_checkout")
@pytest.mark.parametrize("block", blocks_in("bash", "console"), ids=titled)
def test_commands_fit_what_the_chart_renders(block: Block) -> None:
    check_commands(block.script())


@pytest.mark.parametrize("block", blocks_in("yaml"), ids=titled)
def test_values_render_over_the_defaults_or_over_an_overlay(block: Block) -> None:
    for values in yaml.safe_load_all(block.text):
        files = [] if "name" in values.get("model", {}) else [MODEL]
        assert list(render(values, *files))


@pytest.mark.usefixtures("in_checkout")
@pytest.mark.parametrize(
    "text",
    [
        "helm install vllm charts/vllm-multinode -f values/none.yaml",
        "helm install vllm charts/vllm-multinode -f values/deepseek-r1.yaml --set group.nods=2",
        "kubectl logs vllm-0 -c vllm-worker",
        "kubectl logs vllm-0-2 -c vllm-worker",
        "kubectl port-forward svc/vllm 8080:8080",
        "kubectl port-forward svc/vllm-leader 8080:8000",
        "kubectl get pods -l leaderworkerset.sigs.k8s.io/name=other",
        "kubectl create secret generic hf-secret --from-literal=token=x",
        "kubectl apply --server-side -f https://github.com/kubernetes-sigs/lws/releases/download/v0.1.0/manifests.yaml",
        "kubectl logs -n lws-system deployment/other",
        "kubectl explain leaderworkerset.spec.other",
        "curl http://localhost:8000/v1/models",
        'curl http://localhost:8080/v1/completions -d \'{"model": "other"}\'',
        "make other",
        'eval "$(make other)"',
        "vmn validate values/none.yaml",
        "localcluster other",
        "rm -rf build",
    ],
)
def test_a_command_is_refused_when_it_does_not_fit(text: str) -> None:
    with pytest.raises((AssertionError, HelmFailed)):
        check_commands(text)


@each_document
def test_keys_of_values_exist(file: Path) -> None:
    schema = parse_values((CHART / "values.schema.yaml").read_text(encoding="utf-8"))
    leaves = dict(schema_leaves(schema))
    maps = {key for key, leaf in leaves.items() if leaf.get("type") == "object"}
    groups = {key.rsplit(".", depth)[0] for key in leaves for depth in range(key.count(".") + 1)}
    roots = {key.split(".")[0] for key in leaves}
    used = {name for name in dotted_names(file.read_text(encoding="utf-8")) if name.split(".")[0] in roots}
    unknown = {name for name in used - {*leaves, *groups} if not any(name.startswith(f"{key}.") for key in maps)}
    assert unknown == set()


@each_document
def test_links_lead_somewhere(file: Path) -> None:
    for link in links(file.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{link}: no such heading"


def test_index_links_every_guide() -> None:
    folder = CHECKOUT / "docs"
    linked = {link.partition("#")[0] for link in links((folder / "README.md").read_text(encoding="utf-8"))}
    assert {file.name for file in folder.glob("*.md")} - {"README.md"} <= linked


@pytest.mark.parametrize("file", OVERLAYS, ids=name_of)
def test_readme_of_presets_has_the_context_and_the_storage_of_the_preset(file: Path) -> None:
    text = (CHECKOUT / "values" / "README.md").read_text(encoding="utf-8")
    values = parse_values(file.read_text(encoding="utf-8"))
    assert f"{lookup(values, 'model.maxLength'):,}" in text
    assert (lookup(values, "weights.volume.size") or "") in text


@each_document
def test_no_path_of_a_machine_and_no_registry_of_packages_is_named(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"/root/|/work/|/home/[a-z]|pypi\.org|proxy\.golang|registry\.k8s\.io|docker\.io", text) == []
