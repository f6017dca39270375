"""``vmn images`` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.paths import CASES, CHECKOUT
from kit.render import helm_program
from vmn.cli import main

Run = Callable[..., Result]
VALID = CASES / "valid"
COMMIT = "56d4cbbb4d29f4355bab4b9a39ccb717a14ad5ad"
STOCK = "vllm/vllm-openai:v0.33.0"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command with values files."""
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")

    def call(*files: Path, options: tuple[str, ...] = ()) -> Result:
        given = [option for file in files for option in ("--values", str(file))]
        return CliRunner().invoke(main, ["images", *given, *options])

    return call


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (CHECKOUT / "values/deepseek-r1.yaml", [STOCK, "hf://deepseek-ai/DeepSeek-R1@main"]),
        (VALID / "download-to-a-claim.yaml", [STOCK, f"hf://deepseek-ai/DeepSeek-R1@{COMMIT}"]),
        (
            VALID / "download-to-each-node.yaml",
            ["busybox:1.37", STOCK, "hf://meta-llama/Llama-3.1-405B-Instruct@main"],
        ),
        (VALID / "weights-in-an-object-store.yaml", [STOCK]),
        (
            VALID / "weights-in-an-image.yaml",
            [
                "quay.io/vllm/vllm-openai:v0.33.0 registry.local:5000/ai/vllm/vllm-openai:v0.33.0",
                "registry.local:5000/ai/busybox:1.37",
                "registry.example.com/models/deepseek-r1:1 registry.local:5000/ai/models/deepseek-r1:1",
            ],
        ),
    ],
    ids=lambda item: item.stem if isinstance(item, Path) else "",
)
def test_images_prints_what_to_mirror_one_per_line(run: Run, file: Path, lines: list[str]) -> None:
    done = run(file)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == lines


def test_images_prints_every_field_when_json_is_asked_for(run: Run) -> None:
    found = json.loads(run(VALID / "weights-in-an-image.yaml", options=("-o", "json")).stdout)
    assert found[0] == {
        "kind": "image",
        "source": "quay.io/vllm/vllm-openai:v0.33.0",
        "target": "registry.local:5000/ai/vllm/vllm-openai:v0.33.0",
    }
    downloaded = json.loads(run(VALID / "download-to-a-claim.yaml", options=("-o", "json")).stdout)
    assert [item["source"] for item in downloaded if item["kind"] == "model"] == [f"deepseek-ai/DeepSeek-R1@{COMMIT}"]


def test_images_takes_the_revision_of_vllm_s_arguments(run: Run) -> None:
    done = run(VALID / "everything.yaml")
    assert "hf://deepseek-ai/DeepSeek-R1@main" in done.stdout.splitlines()


def test_images_ends_with_1_when_the_chart_refuses_the_values(run: Run) -> None:
    done = run(CASES / "invalid" / "air-gap-with-the-hub.yaml")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "downloads from the internet" in done.stderr


def test_images_ends_with_3_when_helm_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    done = run(VALID / "everything.yaml")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "helm is not on PATH" in done.stderr
