"""Kueue, for the tests that need it: built and installed on demand, and removed after."""

from __future__ import annotations

from typing import Any

import yaml

from localcluster.addons import HOME, Image, helm
from localcluster.cluster import load_image
from localcluster.kubectl import kubectl
from localcluster.programs import chart_of, version_of

NAMESPACE = "kueue-system"
KUEUE = Image("kueue-manager", "kueue", "manager", version_of("kueue"), "65532")
"""Its user id is that of its own image."""
CERTIFICATE = "kueue-webhook-server-cert"
DEPLOYMENT = "deployment/kueue-controller-manager"
AGGREGATED = ("kueue-batch-admin-role", "kueue-batch-user-role")
"""Roles that the controller manager writes again while they are deleted: Helm's wait for their end would not finish."""
OWN = "app.kubernetes.io/name=kueue"
IN = ("--namespace", NAMESPACE)
FRAMEWORKS = ("pod", "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset")
"""What it manages: a LeaderWorkerSet, and what that is made of."""


def install() -> None:
    """Install Kueue from the Helm chart in its own module, in the place of what an interrupted test left of it.

    Raises:
        HostError: it can't be built, or Helm fails.
    """
    remove()
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
    helm(NAMESPACE, ["install", "--create-namespace", "kueue", chart, "--values", "-"], stdin=yaml.safe_dump(values))
    _take_certificate()


def _take_certificate() -> None:
    """Restart Kueue once it has made its certificate: a kubelet shows a Secret's change after a minute."""
    kubectl("wait", r"--for=jsonpath={.data.ca\.crt}", *IN, f"secret/{CERTIFICATE}", "--timeout=90s", timeout=100)
    kubectl("rollout", "restart", *IN, DEPLOYMENT)
    kubectl("rollout", "status", *IN, DEPLOYMENT, "--timeout=120s", timeout=130)


def remove() -> None:
    """Remove Kueue with its definitions, and with them all that is in its queues.

    Raises:
        HostError: Helm fails.
    """
    helm(NAMESPACE, ["uninstall", "kueue", "--ignore-not-found"], timeout=180)
    kubectl("delete", "clusterrole", *AGGREGATED, "--ignore-not-found")
    kubectl("wait", "--for=delete", "customresourcedefinition", f"--selector={OWN}", "--timeout=60s", timeout=70)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=120)
