"""Releases: the changelog's form, what Artifact Hub gets of it, and what keeps a tree from being released."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kit.paths import CHART, CHECKOUT
from publishing.changelog import Change, ChangelogError, annotation, notes, section_of, sections
from publishing.chart import metadata, release_annotations
from publishing.release import problems
from vmn import __version__

TEXT = """# Changelog

## 1.1.0, unreleased

Some prose.

### Added

- [Guides](docs/README.md) say
  `more`.

### Security

- **Restarts pods.** A fix.

## 1.0.0, 2026-01-31

### Fixed

- A bug.
"""


def test_sections_are_read_with_their_kinds_and_dates() -> None:
    new, old = sections(TEXT)
    assert (new.version, new.date) == ("1.1.0", "unreleased")
    assert new.changes == [
        Change("added", "[Guides](docs/README.md) say `more`."),
        Change("security", "**Restarts pods.** A fix."),
    ]
    assert (old.date, [change.kind for change in old.changes]) == ("2026-01-31", ["fixed"])


def test_annotation_is_plain_text_and_notes_are_markdown() -> None:
    section = section_of(TEXT, "1.1.0")
    assert annotation(section) == [
        {"kind": "added", "description": "Guides say more."},
        {"kind": "security", "description": "Restarts pods. A fix."},
    ]
    expected = "### Added\n\n- [Guides](https://example.com/docs/README.md) say `more`.\n\n### Security\n"
    assert notes(section, "https://example.com").startswith(expected)


def test_annotations_tell_of_security_updates_only_when_there_are_some() -> None:
    key = "artifacthub.io/containsSecurityUpdates"
    found = [release_annotations(section, ["vllm/vllm-openai:v1"])[key] for section in sections(TEXT)]
    assert found == ["true", "false"]


@pytest.mark.parametrize(
    ("line", "wrong", "words"),
    [
        ("## 1.1.0, unreleased", "## 1.1.0 (unreleased)", "is not like"),
        ("### Added", "### Improved", "is not one of Added"),
        ("### Added\n\n", "", "stands under no heading"),
        ("  `more`.", "`more`.", "neither an entry nor the rest of one"),
    ],
    ids=["version", "kind", "no kind", "indentation"],
)
def test_changelog_in_another_form_is_refused(line: str, wrong: str, words: str) -> None:
    with pytest.raises(ChangelogError, match=words):
        sections(TEXT.replace(line, wrong))


def test_missing_version_is_named() -> None:
    with pytest.raises(ChangelogError, match=r"no section for 2\.0\.0"):
        section_of(TEXT, "2.0.0")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what a check of a release reads."""
    for name in ("README.md", "CHANGELOG.md", "docs", "examples", "charts"):
        source = CHECKOUT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"{__version__}, unreleased", f"{__version__}, 2026-12-01"))
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    """Replace text that must be in a file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_this_tree_fits_together() -> None:
    assert problems() == []
    assert metadata(CHART)["version"] == __version__


def test_tree_with_a_date_is_ready_for_its_tag(tree: Path) -> None:
    assert problems(f"v{__version__}", tree) == []


def test_tag_of_another_version_is_refused(tree: Path) -> None:
    assert problems("v9.9.9", tree) == [f"the tag is v9.9.9, and the chart is {__version__}"]


def test_unreleased_changes_are_refused_with_a_tag(tree: Path) -> None:
    replace(tree / "CHANGELOG.md", f"{__version__}, 2026-12-01", f"{__version__}, unreleased")
    assert problems(None, tree) == []
    assert problems(f"v{__version__}", tree) == [f"CHANGELOG.md calls {__version__} unreleased: write the date"]


def test_chart_of_another_version_than_vmn_is_refused(tree: Path) -> None:
    replace(tree / "charts" / "vllm-multinode" / "Chart.yaml", f"version: {__version__}", "version: 9.9.9")
    found = problems(None, tree)
    assert f"the chart is 9.9.9, and vmn is {__version__}: they are released together" in found
    assert "CHANGELOG.md: the changelog has no section for 9.9.9" in found


@pytest.mark.parametrize(
    ("file", "old"),
    [
        ("examples/gitops/flux.yaml", f"tag: {__version__}"),
        ("examples/gitops/argocd-application.yaml", f"targetRevision: {__version__}"),
        ("docs/releases.md", f"--version {__version__}"),
    ],
    ids=["flux", "argocd", "guide"],
)
def test_example_of_another_version_is_found(tree: Path, file: str, old: str) -> None:
    replace(tree / file, old, old.replace(__version__, "0.0.1"))
    assert set(problems(None, tree)) == {f"{file} installs 0.0.1, and the chart is {__version__}"}
