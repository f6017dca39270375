"""The claims of the cache on the real LeaderWorkerSet: a change is refused before, and named when it happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kit import simulated
from kit.cluster import get
from kit.doctor import ask
from kit.paths import CHART, CHECKOUT
from kit.progress import wait_until
from kit.release import Release
from kit.render import yaml_of
from vmn.cli import main
from vmn.core.doctor.finding import Severity
from vmn.core.values.yaml import merged

pytestmark = [pytest.mark.cluster, pytest.mark.minutes(2)]
ONE_NODE = CHECKOUT / "values" / "gpt-oss-120b.h100x1.yaml"
LIMIT = 60
"""Seconds."""
CLAIMS = {"cache": {"type": "volumeClaimTemplate", "size": "20Gi", "storageClassName": "fast"}}
SUBGROUPS = {"scheduling": {"subGroup": {"size": 1}}}
AUTOSCALED = {"autoscaling": {"type": "hpa"}}


def cache(**changes: Any) -> dict[str, Any]:
    return {"cache": {**CLAIMS["cache"], **changes}}


CHANGES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    # what changes: (values before, values after, the key that the chart names)
    "type to claims": ({}, CLAIMS, "cache.type"),
    "type from claims": (CLAIMS, {"cache": {"type": "emptyDir"}}, "cache.type"),
    "size, with subgroups": (merged(CLAIMS, SUBGROUPS), merged(cache(size="30Gi"), SUBGROUPS), "cache.size"),
    "class, autoscaled": (
        merged(CLAIMS, AUTOSCALED),
        merged(cache(storageClassName="slow"), AUTOSCALED),
        "cache.storageClassName",
    ),
}


def settled(release: Release) -> bool:
    """Return whether LeaderWorkerSet has applied what was last asked for, and has made its StatefulSet."""
    group = release.group() or {}
    made = get("statefulset", release.name, release.namespace)
    observed = group.get("status", {}).get("observedGeneration")
    return bool(made) and observed is not None and observed == group["metadata"]["generation"]


def unchecked(folder: Path) -> Path:
    """Return a copy of the chart that does not ask what is installed, and so refuses no change."""
    chart = shutil.copytree(CHART, folder / "chart")
    file = chart / "templates" / "validation" / "_installed.tpl"
    text = file.read_text(encoding="utf-8")
    assert text.count("{{- if $lws -}}") == 1
    file.write_text(text.replace("{{- if $lws -}}", "{{- if false -}}"), encoding="utf-8")
    return chart


def causes(release: Release) -> list[str]:
    """Return what the doctor calls a cause; a group whose claims no provisioner fills has another one, too."""
    return [item.id for item in ask(release.namespace).findings if item.severity is Severity.CAUSE]


def preflight(release: Release, values: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the status of each check of ``vmn preflight``."""
    file = folder / "values.yaml"
    file.write_text(yaml_of(values), encoding="utf-8")
    files = ["-f", str(ONE_NODE), "-f", str(file)]
    done = CliRunner().invoke(main, ["preflight", *files, "-n", release.namespace, "-o", "json"])
    assert done.exit_code in (0, 1), done.output
    return {item["check"]: item["status"] for item in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_the_claims_is_refused_and_named_and_can_be_taken_back(
    release: Release, tmp_path: Path, change: str
) -> None:
    before, after = (merged(simulated.VALUES, values) for values in CHANGES[change][:2])
    key = CHANGES[change][2]
    release.install(ONE_NODE, values=before)
    wait_until("StatefulSet", lambda: settled(release), LIMIT, state=release.describe)
    claims = (get("statefulset", "vllm", release.namespace) or {})["spec"].get("volumeClaimTemplates")

    refused = release.upgrade(ONE_NODE, values=after, check=False)
    assert refused.code != 0
    assert f"  - {key}: can't be changed" in refused.stderr
    assert settled(release)
    assert preflight(release, before, tmp_path)["cache-claims"] == "PASS"
    assert preflight(release, after, tmp_path)["cache-claims"] == "FAIL"

    Release(release.namespace, chart=unchecked(tmp_path)).upgrade(ONE_NODE, values=after)
    wait_until("the doctor's word", lambda: "claims-changed" in causes(release), LIMIT, state=lambda: causes(release))
    assert not settled(release), "LeaderWorkerSet has applied it"
    assert (get("statefulset", "vllm", release.namespace) or {})["spec"].get("volumeClaimTemplates") == claims

    mended = merged(before, {"engine": {"args": {"max-num-seqs": 7}}})
    release.upgrade(ONE_NODE, values=mended)
    wait_until("change that is applied", lambda: settled(release), LIMIT, state=release.describe)
    assert "claims-changed" not in causes(release)
