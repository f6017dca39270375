"""What Argo CD and Flux see of a release while the real LeaderWorkerSet goes through its life."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from kit import simulated
from kit.cluster import LWS, kubectl
from kit.gitops import distinct, judge, recorded
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.release import Release
from kit.watching import watched_group

pytestmark = pytest.mark.cluster
LIMIT = 90
"""Seconds in which a group of simulated pods is recreated."""
OVERLAY = CHECKOUT / "values" / "deepseek-r1.yaml"
VALUES = {**simulated.VALUES, "group": {"replicas": 2}}
RECORDING = "KEEP_GITOPS_STATES"
"""Variable with the file that gets what was seen, in the form of tests/chart/gitops_data/states.yaml."""


def test_health_follows_a_release_through_its_life(release: Release) -> None:
    with watched_group(release) as seen:
        release.install(OVERLAY, values=VALUES)
        release.wait_available(LIMIT)

        first = release.uids()
        release.upgrade(OVERLAY, values={**VALUES, "engine": {"args": {"max-num-seqs": 7}}})
        release.wait_available(2 * LIMIT, without=first)

        before = {pod["metadata"]["uid"] for pod in release.pods() if pod["metadata"]["name"].startswith("vllm-1")}
        kubectl("delete", "pod", "vllm-1-1", namespace=release.namespace)
        release.wait_available(LIMIT, without=before)

        kubectl("scale", LWS, release.name, "--replicas=0", namespace=release.namespace)
        wait_until("no pods", lambda: not release.pods(), LIMIT)
        release.wait_available(LIMIT)

    states = distinct(seen)
    if file := os.environ.get(RECORDING):
        Path(file).write_text(yaml.safe_dump([recorded(state) for state in states], sort_keys=False))
    found = judge(states)
    assert [health for health, _ in groupby(one.argocd for one in found)] == ["Progressing", "Healthy"] * 4
    assert [one.flux == "Current" for one in found] == [one.argocd == "Healthy" for one in found]
    assert any(one.kstatus == "Current" and one.argocd == "Progressing" for one in found), "kstatus has learned to wait"


def test_a_diff_on_the_server_shows_nothing_after_an_installation(release: Release) -> None:
    """As with Argo CD's ServerSideDiff and Flux' drift detection."""
    release.install(OVERLAY, values=VALUES)
    release.wait_available(LIMIT)
    manifest = yaml.safe_dump_all(release.manifest())
    diff = ["diff", "--server-side", "--force-conflicts", "--field-manager=helm", "--filename=-"]
    done = kubectl(*diff, namespace=release.namespace, stdin=manifest, check=False)
    assert (done.code, done.stdout) == (0, "")

    changed = manifest.replace("--max-model-len", "--max-model-length")
    assert changed != manifest
    assert kubectl(*diff, namespace=release.namespace, stdin=changed, check=False).code == 1
