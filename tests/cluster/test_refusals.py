"""Values that can't work: refused before anything is made, or by the API server with its reason shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import simulated
from kit.cases import expected, invalid_cases
from kit.cluster import inventory, run
from kit.paths import CHECKOUT, name_of
from kit.progress import wait_until
from kit.release import Release

pytestmark = pytest.mark.cluster
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
CASES = [
    next(case for case in invalid_cases() if {item.ring for item in expected(case)} == {ring})
    for ring in ("schema", "rules")
]
"""One for each of Helm's two rings: that all of them are refused is shown offline."""
TOO_MANY = {"group": {"replicas": 1_500_000_000}, "disruption": {"enabled": False}}
"""More pods than LeaderWorkerSet can count; no schema of ours forbids it."""


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_install_leaves_nothing_when_values_are_refused(release: Release, case: Path) -> None:
    before = inventory(release.namespace)
    done = release.install(case, check=False)
    assert done.code != 0
    assert expected(case)[0].key.rpartition(".")[2] in done.stderr
    assert inventory(release.namespace) == before
    assert run("helm", "list", "--short", "--namespace", release.namespace).stdout == ""


def test_install_shows_the_webhooks_reason_and_uninstall_cleans_up_when_the_server_refuses(release: Release) -> None:
    before = inventory(release.namespace)
    done = release.install(PRESET, values={**simulated.VALUES, **TOO_MANY}, check=False)
    assert done.code != 0
    assert "the product of replicas and worker replicas must not exceed" in done.stderr
    assert not release.pods()
    release.uninstall()
    wait_until("end of what was made before", lambda: inventory(release.namespace) == before, 60)
