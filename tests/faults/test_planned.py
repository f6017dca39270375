"""Rollouts, upgrades and scaling of a release with several groups, under continuous traffic: no request is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from faults.results import keep, measured
from faults.scene import Scene, serving
from faults.styles import ASKED, STYLES, Chart, Style
from kit.cluster import LWS, kubectl
from kit.traffic import BUSY

pytestmark = pytest.mark.faults
LIMIT = 900
"""Seconds for several groups, one after the other, on two cores."""


def patch_pods(style: Style) -> None:
    """Change something in the pods without Helm: a rolling update of LeaderWorkerSet alone."""
    metadata = '{"metadata":{"annotations":{"example.com/rolled":"yes"}}}'
    templates = f'{{"leaderTemplate":{metadata},"workerTemplate":{metadata}}}'
    patch = f'{{"spec":{{"leaderWorkerTemplate":{templates}}}}}'
    kubectl("patch", LWS, style.name, "--type=merge", f"--patch={patch}", namespace=style.namespace)


def scale(style: Style, replicas: int) -> None:
    """Have so many groups."""
    kubectl("scale", LWS, style.name, f"--replicas={replicas}", namespace=style.namespace)


CHANGES: dict[str, Callable[[Style], None]] = {
    "rolling update, 2 groups": patch_pods,
    "upgrade, 2 groups": lambda style: style.roll(2),
    "scale from 2 groups to 1": lambda style: scale(style, 1),
    "scale from 1 group to 3": lambda style: scale(style, 3),
    "scale from 3 groups to 1": lambda style: scale(style, 1),
}


@pytest.fixture(scope="module", params=ASKED)
def scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """Start two groups in a style."""
    with serving(STYLES[request.param](namespace), replicas=2) as scene:
        yield scene


@pytest.mark.parametrize("name", CHANGES)
def test_change_loses_no_request(scene: Scene, name: str) -> None:
    before = scene.style.uids()
    replaced = "2 groups" in name and "scale" not in name

    def whole() -> bool:
        return scene.style.available(without=before if replaced else ())

    outcome = scene.run(CHANGES[name], BUSY, limit=LIMIT, recovered=whole)
    keep(name, scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.lost == 0, outcome.requests.reasons
        assert outcome.requests.refused == 0, outcome.requests.reasons
        assert outcome.doctor == (), "nothing was wrong"
