"""Kueue, for the tests that need it: built and installed on demand, and removed after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from localcluster.addons import HOME, Image, helm
from localcluster.cluster import load_image
from localcluster.kubectl import kubectl
from localcluster.programs import chart_of, module_version

NAMESPACE = "kueue-system"
KUEUE = Image("kueue-manager", "kueue", "manager", module_version("kueue"), "65532")
"""Its user id is that of its own image."""
FRAMEWORKS = ("pod", "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset")
"""What it manages: a LeaderWorkerSet, and what that is made of."""


def install() -> None:
    """Install Kueue from the Helm chart in its own module.

    Raises:
        HostError: it can't be built, or Helm fails.
    """
    load_image(KUEUE.file())
    chart = chart_of("kueue") / "charts" / "kueue"
    own = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load(own["managerConfig"]["controllerManagerConfigYaml"])
    config["integrations"]["frameworks"] = list(FRAMEWORKS)
    manager = {
        "image": {"repository": KUEUE.repository, "tag": KUEUE.tag, "pullPolicy": "Never"},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    values: dict[str, Any] = {
        "controllerManager": {"manager": manager, "nodeSelector": HOME},
        "managerConfig": {"controllerManagerConfigYaml": yaml.safe_dump(config)},
    }
    install: list[str | Path] = [
        "upgrade",
        "--install",
        "--create-namespace",
        "--wait",
        "--timeout",
        "3m",
        "kueue",
        chart,
    ]
    helm(NAMESPACE, [*install, "--values", "-"], stdin=yaml.safe_dump(values), timeout=240)


def remove() -> None:
    """Remove Kueue with its definitions, and with them all that is in its queues.

    Raises:
        HostError: Helm fails.
    """
    helm(NAMESPACE, ["uninstall", "kueue", "--ignore-not-found", "--wait"], timeout=180)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=120)
