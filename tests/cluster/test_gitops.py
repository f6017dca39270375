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
from kit.render import render
from kit.watching import watched_group

pytestmark = pytest.mark.cluster
LIMIT = 90
"""Seconds in which a group of simulated pods is recreated."""
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
VALUES = {**simulated.VALUES, "group": {"replicas": 2}}
RECORDING = "KEEP_GITOPS_STATES"
"""Variable with the file that gets what was seen, in the form of tests/chart/gitops_data/states.yaml."""


def test_health_follows_a_release_through_its_life(release: Release) -> None:
    with watched_group(release) as seen:
        release.install(PRESET, values=VALUES)
        release.wait_available(LIMIT)

        first = release.uids()
        release.upgrade(PRESET, values={**VALUES, "engine": {"args": {"max-num-seqs": 7}}})
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
    changes = [health for health, _ in groupby(one.argocd for one in found)]
    assert len(changes) >= 8, "installation, rollout, recreation, and scale: each in progress, then done"
    assert changes == ["Progressing", "Healthy"] * (len(changes) // 2), "a recreation can come in several parts"
    assert [one.flux == "Current" for one in found] == [one.argocd == "Healthy" for one in found]
    assert any(one.kstatus == "Current" and one.argocd == "Progressing" for one in found), "kstatus has learned to wait"


def test_a_diff_on_the_server_shows_nothing_after_argocd_has_applied(release: Release) -> None:
    """Server-side apply, then a dry run by the same owner, as with Argo CD's ServerSideApply and ServerSideDiff."""
    rendered = render(VALUES, PRESET, namespace=release.namespace)
    manifest = yaml.safe_dump_all(
        one for one in rendered if "helm.sh/hook" not in one["metadata"].get("annotations", {})
    )
    owner = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--filename=-"]
    try:
        kubectl("apply", *owner, namespace=release.namespace, stdin=manifest)
        release.wait_available(LIMIT)
        done = kubectl("diff", *owner, namespace=release.namespace, stdin=manifest, check=False)
        assert (done.code, done.stdout) == (0, "")

        changed = manifest.replace("--max-model-len", "--max-model-length")
        assert changed != manifest
        assert kubectl("diff", *owner, namespace=release.namespace, stdin=changed, check=False).code == 1
    finally:
        kubectl("delete", "--ignore-not-found", "--filename=-", namespace=release.namespace, stdin=manifest)
        wait_until("end of the pods", lambda: not release.pods(), LIMIT)
