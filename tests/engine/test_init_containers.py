"""An init container that fails once and then works: LeaderWorkerSet recreates the healthy group, again and again."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from engine.reference import PRESET
from kit.doctor import ask, verdict
from kit.progress import wait_until
from kit.release import Release

pytestmark = [pytest.mark.engine, pytest.mark.minutes(3)]
LIMIT = 240
"""Seconds for two recreations, in each of which pods end and start."""
FAILS_ONCE = "[ -e /tmp/once ] || { touch /tmp/once; exit 1; }"
RETRIES_INSIDE = "until [ -e /tmp/once ]; do touch /tmp/once; sleep 1; done"


def with_init_container(command: str) -> dict[str, Any]:
    """Return values with an init container that runs a command; /tmp is a volume, which outlives it."""
    image = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["image"]
    container = {
        **{"name": "prepare", "image": f"{image['repository']}:{image['tag']}", "imagePullPolicy": "Never"},
        **{"command": ["/bin/bash", "-c", command], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
    }
    return {"extraInitContainers": [container]}


def test_doctor_names_the_container_for_whose_restart_the_group_is_recreated(release: Release) -> None:
    release.install(PRESET, values=with_init_container(FAILS_ONCE))
    wait_until(
        "verdict",
        lambda: verdict(ask(release.namespace)) == "recreated-after-restart",
        LIMIT,
        state=lambda: (verdict(ask(release.namespace)), release.describe()),
    )
    release.upgrade(PRESET, values=with_init_container(RETRIES_INSIDE))
    release.wait_available(LIMIT)
    assert verdict(ask(release.namespace)) == ""
