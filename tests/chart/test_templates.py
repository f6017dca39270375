"""House rules for the chart's templates and scripts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import CHART, name_of

HELPERS = sorted((CHART / "templates").glob("**/*.tpl"))
SCRIPTS = sorted((CHART / "files").glob("**/*.sh")) if (CHART / "files").is_dir() else []
HELPER_BUDGET = 150
"""Lines of a helper file, at most."""
DEFINE = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
HEADED = re.compile(
    r'\{\{-?\s*/\*(?P<header>(?:(?!\*/).)*)\*/\s*-?\}\}\s*\{\{-?\s*define\s+"(?P<name>[^"]+)"', re.DOTALL
)


def defines() -> dict[str, Path]:
    """Return every define and its file."""
    return {name: file for file in HELPERS for name in DEFINE.findall(file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("file", HELPERS, ids=name_of)
def test_helper_file_stays_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) < HELPER_BUDGET


def test_every_define_is_in_the_charts_name_space() -> None:
    assert [name for name in defines() if not name.startswith("vllm-multinode.")] == []


@pytest.mark.parametrize("file", HELPERS, ids=name_of)
def test_every_define_has_a_header_with_its_usage(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    headers = {match["name"]: match["header"] for match in HEADED.finditer(text)}
    bad = [name for name in DEFINE.findall(text) if "Usage:" not in headers.get(name, "")]
    assert bad == [], "wanted a comment with what it is, `Usage:` and what it returns"


def test_every_define_is_used_twice_or_from_another_file() -> None:
    files = {file: file.read_text(encoding="utf-8") for file in (CHART / "templates").rglob("*") if file.is_file()}
    bad = []
    for name, home in defines().items():
        call = re.compile(rf'(?:include|template)\s+"{re.escape(name)}"')
        code = {file: re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL) for file, text in files.items()}
        uses = {file: len(call.findall(text)) for file, text in code.items()}
        if sum(uses.values()) < 2 and not any(count for file, count in uses.items() if file != home):
            bad.append(name)
    assert bad == [], "inline what is used once"


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_script_passes_shellcheck(script: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "--external-sources", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
