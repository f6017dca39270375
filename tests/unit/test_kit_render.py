"""The kit's render helper, on a chart of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.helmserver import HelmEndedError, helm_server
from kit.render import RENDER_LIMIT, HelmFailed, InvalidObjects, render, run_helm

SERVICE = """apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}-{{ .Values.name }}
  namespace: {{ .Release.Namespace }}
spec:
  {{ .Values.key }}: [{port: 80}]
{{ if .Values.broken }}{{ fail "this can't be" }}{{ end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Return a chart with one Service."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.0.0\n")
    (tmp_path / "values.yaml").write_text("name: one\nkey: ports\nbroken: false\n")
    (tmp_path / "templates" / "service.yaml").write_text(SERVICE)
    return tmp_path


def test_render_merges_files_and_values_when_both_are_given(chart: Path, tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("name: file\n")
    assert render(None, over, chart=chart, release="r").inventory() == {("Service", "r-file")}
    assert render({"name": "mine"}, over, chart=chart, release="r").inventory() == {("Service", "r-mine")}


def test_render_runs_helm_once_when_asked_twice(chart: Path) -> None:
    assert render(chart=chart) is render(chart=chart)
    assert render(chart=chart) is not render(chart=chart, namespace="other")
    assert render(chart=chart) is not render(chart=chart, helm="helm3")


def test_render_raises_what_helm_said_when_helm_fails(chart: Path) -> None:
    with pytest.raises(HelmFailed, match="this can't be"):
        render({"broken": True}, chart=chart)


def test_render_raises_with_object_and_path_when_an_object_is_invalid(chart: Path) -> None:
    with pytest.raises(InvalidObjects, match=r"Service/vllm-one::\$\.spec .*prots"):
        render({"key": "prots"}, chart=chart)


def test_manifests_one_names_what_is_there_when_there_is_not_one(chart: Path) -> None:
    with pytest.raises(AssertionError, match=r"wanted one Secret .*'Service', 'vllm-one'"):
        render(chart=chart).one("Secret")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["template", "small", "."], 0),
        (["template", "small", ".", "--set", "broken=true"], 1),
        (["template", "small", ".", "--show-only", "templates/none.yaml"], 1),
        (["template", "small", ".", "--unknown"], 1),
        (["lint", "."], 0),
    ],
)
def test_helm_server_answers_as_helm_does(
    chart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.chdir(chart)
    served = helm_server().run(words, RENDER_LIMIT)
    assert served == run_helm("helm", words, str(tmp_path))
    assert served.code == code


def test_helm_server_forgets_the_namespace_of_a_command(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chart)
    texts = [
        helm_server().run(["template", "small", ".", *words], RENDER_LIMIT).stdout
        for words in ([], ["--namespace", "other"], [])
    ]
    assert ["namespace: other" in text for text in texts] == [False, True, False]
    assert texts[0] == texts[2]


def test_helm_server_starts_again_when_a_command_takes_too_long(
    chart: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = str(tmp_path_factory.mktemp("values") / "fifo")
    os.mkfifo(values)  # which is never written
    with pytest.raises(HelmEndedError, match=r"--values \S+fifo: no answer"):
        helm_server().run(["template", "small", str(chart), "--values", values], 0.5)
    assert helm_server().run(["template", "small", str(chart)], RENDER_LIMIT).code == 0
