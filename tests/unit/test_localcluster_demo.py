"""The demo on a cluster that is there already: what it refuses, and which values it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.paths import CHECKOUT
from kit.render import render
from localcluster import demo
from localcluster.host import HostError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a kubeconfig that no program reads."""
    file = tmp_path / "config"
    file.touch()
    return file


def answer(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]) -> list[demo.Place]:
    """Have kubectl answer by its first two arguments, and keep where the chart would have been installed."""
    served: list[demo.Place] = []
    monkeypatch.setattr(demo.Place, "kubectl", lambda _, *words: json.dumps(answers.get(" ".join(words[:2]), "")))
    monkeypatch.setattr(demo.Place, "items", lambda _, *words: answers.get(words[0], []))

    def serve(place: demo.Place) -> str:
        served.append(place)
        return "the answer"

    monkeypatch.setattr(demo, "_serve_and_ask", serve)
    return served


def node(gpus: str | None) -> dict[str, Any]:
    return {"status": {"allocatable": {"nvidia.com/gpu": gpus} if gpus else {}}}


def test_missing_files_are_named(tmp_path: Path, config: Path) -> None:
    with pytest.raises(HostError, match=r"KUBECONFIG=.*none: no such file"):
        demo.demo_on(tmp_path / "none", None)
    with pytest.raises(HostError, match=r"VALUES=values/none\.yaml: no such file in"):
        demo.demo_on(config, "values/none.yaml")


def test_cluster_without_leaderworkerset_is_told_how_to_get_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.Place, "kubectl", lambda *_: "")
    monkeypatch.setattr(demo.Place, "items", lambda *_: [])
    with pytest.raises(HostError, match=r"no LeaderWorkerSet. Install it.*kubectl apply --server-side -f https://"):
        demo.demo_on(config, None)


@pytest.mark.parametrize(
    ("nodes", "values"),
    [([node("8"), node("1")], demo.GPUS), ([node("8"), node("0"), node(None)], demo.TINY)],
    ids=["two with GPUs", "one with GPUs"],
)
def test_values_are_chosen_by_the_gpus_of_the_nodes(
    config: Path, monkeypatch: pytest.MonkeyPatch, nodes: list[Any], values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served = answer(monkeypatch, {"nodes": nodes, "get customresourcedefinition": "there"})
    demo.demo_on(config, None)
    assert served == [demo.Place(config, demo.OTHER_NAMESPACE, values, local=False)]
    out = capsys.readouterr().out
    assert "the answer" in out
    assert f"kubectl delete namespace {demo.OTHER_NAMESPACE}" in out


def test_given_values_win(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = answer(monkeypatch, {"nodes": [node("8"), node("8")], "get customresourcedefinition": "there"})
    demo.demo_on(config, demo.TINY)
    assert served[0].values == demo.TINY


def test_values_for_gpus_spread_the_model_over_two_nodes() -> None:
    file = CHECKOUT / demo.GPUS
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["group"]["nodes"] == 2
    group = render(None, file).one("LeaderWorkerSet")
    assert group["spec"]["leaderWorkerTemplate"]["size"] == 2
