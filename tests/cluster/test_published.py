"""The chart is installed from an OCI registry, after its signatures were verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import simulated
from kit.cluster import get, run
from kit.paths import CHART, CHECKOUT
from kit.published import PLAIN, environment, new_keys, registry, verify
from kit.release import Release
from kit.render import yaml_of
from publishing.changelog import section_of
from publishing.chart import metadata, package
from publishing.registry import push, sign

pytestmark = pytest.mark.cluster
LIMIT = 90
"""Seconds in which a group of simulated pods starts."""
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"


def test_chart_installs_from_a_registry_by_version_and_by_digest(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    keys = new_keys(tmp_path / "keys")
    version = str(metadata(CHART)["version"])
    section = section_of((CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    archive = package(CHART, section, tmp_path, keys.openpgp)
    with registry(tmp_path) as there:
        pushed = push(archive, there)
        sign(pushed, there, keys.cosign)
        verify(pushed.pinned, keys.cosign_public)

        common = [PLAIN, f"--namespace={release.namespace}"]
        provenance = ["--verify", f"--keyring={keys.public_ring}"]
        common += ["--values", str(PRESET), "--values=-"]
        values = yaml_of(simulated.VALUES)
        address = f"oci://{pushed.reference}"
        run("helm", "install", release.name, address, f"--version={version}", *provenance, *common, stdin=values)
        release.wait_available(LIMIT)
        pods = release.uids()

        # Helm 4.3.1 names the file after the digest, and misses that name in the provenance: cosign has verified it.
        by_digest = ["upgrade", release.name, f"{address}@{pushed.digest}", *common]
        refused = run("helm", *by_digest, *provenance, stdin=values, check=False)
        assert "provenance does not contain a SHA for a file named" in refused.stderr, (
            "Helm has learned it: docs/releases.md"
        )
        run("helm", *by_digest, stdin=values)
        release.wait_available(LIMIT)
        assert release.uids() == pods, "the same bytes restarted pods"
        group = get("leaderworkerset", release.name, release.namespace)
        assert group
        assert group["metadata"]["labels"]["helm.sh/chart"] == f"vllm-multinode-{version}"
