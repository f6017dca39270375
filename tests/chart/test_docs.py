"""Documents are correct: their commands fit the chart, their values render, and their keys and links exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from chartfiles.schema import schema_leaves
from chartfiles.tables import lookup
from kit.documents.markdown import Block, anchors, blocks, dotted_names, links
from kit.documents.release import MODEL
from kit.documents.rules import check_commands
from kit.paths import CHART, CHECKOUT, MAIN_PRESETS, name_of
from kit.render import HelmFailed, helm_program, render
from vmn.core.values.yaml import parse_values

NEEDS_A_RELEASE = ("reliability", "weights", "caches")
"""Guides whose commands need a release, nodes, or files of the reader. Only their keys and links are checked."""
TELL_OF_REMOVED = (CHART / "UPGRADING.md", CHECKOUT / "CHANGELOG.md")
"""Documents that may name values which were removed."""
TOLD_BY_THE_CHART = [
    *(CHART / name for name in ("values.yaml", "values.schema.yaml", "templates/NOTES.txt")),
    *sorted((CHART / "templates" / "validation").glob("*.tpl")),
]
"""Files whose comments, descriptions, and messages name values."""
COMMANDED = [
    CHECKOUT / "README.md",
    *(file for file in sorted((CHECKOUT / "docs").glob("*.md")) if file.stem not in NEEDS_A_RELEASE),
    *(CHART / name for name in ("README.md", "UPGRADING.md")),
    CHECKOUT / "values" / "README.md",
]
"""Files in which every block is checked."""
DOCUMENTS = [
    *COMMANDED,
    *(CHECKOUT / "docs" / f"{name}.md" for name in NEEDS_A_RELEASE),
    *(CHECKOUT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "images/vllm-ray/README.md")),
    *(CHECKOUT / name for name in ("SECURITY.md", "tests/kit/README.md")),
    *sorted((CHECKOUT / "docs" / "decisions").glob("*.md")),
]

CHECKED = frozenset({"bash", "console", "yaml", "text", "mermaid"})
"""Languages of blocks. ``text`` is for output of other programs, ``mermaid`` is drawn by ``make generate``."""


def titled(item: object) -> str:
    """Return the path of a file, or the place of a block, for the ids of tests."""
    return str(item.relative_to(CHECKOUT)) if isinstance(item, Path) else str(item)


def blocks_in(*languages: str) -> list[Block]:
    """Return the blocks in the given languages, from all files in which blocks are checked."""
    return [block for file in COMMANDED for block in blocks(file) if block.language in languages]


each_document = pytest.mark.parametrize("file", DOCUMENTS, ids=titled)


def test_every_block_is_in_a_language_that_is_checked() -> None:
    strange = {str(block): block.language for file in COMMANDED for block in blocks(file)}
    strange = {where: language for where, language in strange.items() if language not in CHECKED}
    assert strange == {}, "use bash, console, yaml, or text for messages"


@pytest.fixture
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to the checkout, with helm on PATH, as the documents tell their readers to."""
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    monkeypatch.chdir(CHECKOUT)


@pytest.mark.usefixtures("in_checkout")
@pytest.mark.parametrize("block", blocks_in("bash", "console"), ids=titled)
def test_commands_fit_what_the_chart_renders(block: Block) -> None:
    check_commands(block.script())


@pytest.mark.parametrize("block", blocks_in("yaml"), ids=titled)
def test_values_render_over_the_defaults_or_over_a_preset(block: Block) -> None:
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


def unknown_keys(names: set[str], removed: Iterable[str] = ()) -> set[str]:
    """Return the names that start like values of the chart, but are none."""
    schema = parse_values((CHART / "values.schema.yaml").read_text(encoding="utf-8"))
    leaves = dict(schema_leaves(schema))
    maps = {key for key, leaf in leaves.items() if leaf.get("type") == "object"}
    groups = {key.rsplit(".", depth)[0] for key in leaves for depth in range(key.count(".") + 1)}
    roots = {key.split(".")[0] for key in leaves}
    used = {name for name in names if name.split(".")[0] in roots}
    return {name for name in used - {*leaves, *groups, *removed} if not any(name.startswith(f"{key}.") for key in maps)}


@each_document
def test_keys_of_values_exist(file: Path) -> None:
    renamed = parse_values((CHART / "files" / "renamed.yaml").read_text(encoding="utf-8"))
    names = dotted_names(file.read_text(encoding="utf-8"))
    assert unknown_keys(names, renamed if file in TELL_OF_REMOVED else ()) == set()


def told(file: Path) -> list[str]:
    """Return what a file of the chart tells users: comments and descriptions, messages of rules, or the notes."""
    text = file.read_text(encoding="utf-8")
    match file.suffix:
        case ".yaml":
            return re.findall(r"(?:# |description: | {10,})(.*)", text)
        case ".tpl":
            return re.findall(r'"([^"\n]*)"', text)
        case _:
            return [re.sub(r"\{\{.*?\}\}", "", text)]


def keys_in(texts: Iterable[str]) -> set[str]:
    """Return the dotted names in sentences."""
    return set(re.findall(r"(?<![\w./-])[a-z]\w*(?:\.[a-zA-Z]\w*)+(?![\w/(.%-])", "\n".join(texts)))


@pytest.mark.parametrize("file", TOLD_BY_THE_CHART, ids=titled)
def test_keys_that_the_chart_names_exist(file: Path) -> None:
    assert unknown_keys(keys_in(told(file))) == set()


def test_key_that_does_not_exist_is_found() -> None:
    assert unknown_keys(keys_in(["Set group.nods, or weights.volume.size."])) == {"group.nods"}


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


@pytest.mark.parametrize("file", MAIN_PRESETS, ids=name_of)
def test_readme_of_presets_has_the_context_and_the_storage_of_the_preset(file: Path) -> None:
    text = (CHECKOUT / "values" / "README.md").read_text(encoding="utf-8")
    values = parse_values(file.read_text(encoding="utf-8"))
    assert f"{lookup(values, 'model.maxLength'):,}" in text
    assert (lookup(values, "weights.volume.size") or "") in text


@each_document
def test_no_path_of_a_machine_and_no_registry_of_packages_is_named(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"/root/|/work/|/home/[a-z]|pypi\.org|proxy\.golang|registry\.k8s\.io|docker\.io", text) == []
