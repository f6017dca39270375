"""Caches of a group that has served, packed, and taken by a group whose caches are empty."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.reference import ANSWER, PRESET, START_LIMIT, USAGE, ask
from kit.cluster import kubectl, run
from kit.paths import CHECKOUT
from kit.progress import say
from kit.release import Release

pytestmark = [pytest.mark.engine, pytest.mark.minutes(1)]
ON_NODES = "/var/lib/vllm-multinode/cache"
"""What the tiny model's values mount at /cache; all nodes of the local cluster share it."""


def vmn(*arguments: str) -> str:
    """Run vmn and return what it prints."""
    return run("env", f"PYTHONPATH={CHECKOUT / 'tools'}", sys.executable, "-m", "vmn", *arguments, limit=120).stdout


def localcluster(*arguments: str) -> None:
    """Run a command of the local cluster, whose nodes alone can be given an image."""
    run(sys.executable, "-m", "localcluster", *arguments, limit=120)


@pytest.fixture
def new() -> Iterator[str]:
    """Give an empty directory on the nodes, and remove it at the end."""
    folder = f"{ON_NODES}/new-{secrets.token_hex(3)}"
    localcluster("on", "node-1", "install", "--directory", "--mode=777", folder)
    yield folder
    localcluster("on", "node-1", "rm", "-r", folder)


def test_new_caches_are_filled_from_a_bundle_that_is_an_image(release: Release, new: str, tmp_path: Path) -> None:
    file = tmp_path / "bundle.oci.tar"
    release.install(PRESET)
    release.wait_available(START_LIMIT)
    packed = ("cache", "pack", "--namespace", release.namespace, "--write", str(file), "--format", "oci", "-o", "json")
    said = json.loads(vmn(*packed))
    say(f"bundle of {said['bytes'] / 1e6:.2f} MB: {said['pods']}")
    assert said["gpu"] == "none"
    assert all(pod["files"] for pod in said["pods"])
    localcluster("load", str(file))

    bundle = {"type": "image", "image": f"vllm-cache:{said['key']}"}
    before = release.uids()
    release.upgrade(PRESET, values={"cache": {"hostPath": new, "bundle": bundle}})
    release.wait_available(START_LIMIT, without=before)
    logs = [release.logs("vllm-0", "vllm-leader"), release.logs("vllm-0-1", "vllm-worker")]
    assert sum("filled the caches from the bundle of" in log for log in logs) == 1, "the pods share the directory"
    files = ("exec", "vllm-0", "-c", "vllm-leader", "--", "find", f"/cache/{said['key']}", "-name", "modelinfos")
    assert kubectl(*files, namespace=release.namespace).stdout
    assert ask(release.namespace) == (ANSWER, USAGE)
