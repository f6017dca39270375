"""How the tiny model is served here: by this chart in two ways, and by manifests as the reference guide has them."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.cluster import Object, kubectl
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.release import Release
from vmn.adapters.programs import Done
from vmn.core.values.yaml import merged

PRESET = CHECKOUT / "values" / "tiny-cpu.yaml"
MANIFESTS = Path(__file__).with_name("reference.yaml")
Change = Mapping[str, Any]
"""Values of the chart."""
Edit = Callable[[Object], None]
"""Changes a pod's specification of the reference, in place."""
START_METHOD = "CPU_START_METHOD"
"""The local cluster's plugin of vLLM reads it."""
SLOWLY = "spawn"
"""As vLLM starts on CPUs, which takes longer: what is not start is little then, as it is beside a start on GPUs."""
RESTARTS: Change = {
    "group": {"inPlaceRestart": {"enabled": True, "maxRestarts": 100, "standby": True}},
    "engine": {"env": {START_METHOD: "fork"}},
}


@dataclass(frozen=True)
class Chart(Release):
    """This chart, with the values file of the tiny model.

    Attributes:
        start_method: how vLLM starts its processes.
    """

    start_method: str = "fork"

    def start(self, change: Change | None = None, replicas: int = 1) -> None:
        """Install it.

        Args:
            change: values on top.
            replicas: groups.
        """
        self.install(PRESET, values=self._values(change, replicas))

    def scale(self, replicas: int) -> None:
        """Have so many groups."""
        self.upgrade(PRESET, values=self._values(None, replicas))

    def roll(self, replicas: int) -> None:
        """Change something in the pods."""
        self.upgrade(PRESET, values=self._values({"podAnnotations": {"example.com/upgraded": "yes"}}, replicas))

    def _values(self, change: Change | None, replicas: int) -> dict[str, Any]:
        own = {"group": {"replicas": replicas}, "engine": {"env": {START_METHOD: self.start_method}}}
        return merged(dict(change or {}), own)


@dataclass(frozen=True)
class InPlace(Chart):
    """This chart with restarts in place, and processes that have imported vLLM for them.

    They always fork, as on GPUs. Processes that vLLM starts in another way import it again.
    """

    def _values(self, change: Change | None, replicas: int) -> dict[str, Any]:
        return merged(super()._values(change, replicas), RESTARTS)


@dataclass(frozen=True)
class Reference(Release):
    """The reference guide's manifests.

    Attributes:
        start_method: how vLLM starts its processes.
    """

    start_method: str = "fork"

    def start(self, edit: Edit | None = None, replicas: int = 1) -> None:
        """Apply them.

        Args:
            edit: of the pods of both roles.
            replicas: groups.
        """
        self._apply(edit, {}, replicas)

    def scale(self, replicas: int) -> None:
        """Have so many groups."""
        self._apply(None, {}, replicas)

    def roll(self, replicas: int) -> None:
        """Change something in the pods."""
        self._apply(None, {"example.com/upgraded": "yes"}, replicas)

    def uninstall(self, limit: float = 150) -> None:
        """Delete them, and wait until the pods are gone."""
        kubectl(
            *("delete", "leaderworkerset/vllm", "service/vllm-leader", "--ignore-not-found", "--wait=false"),
            namespace=self.namespace,
        )
        wait_until("end of the pods", lambda: not self.pods(), limit, state=self.describe)

    def _apply(self, edit: Edit | None, annotations: Mapping[str, str], replicas: int) -> Done:
        documents: list[Object] = list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))
        spec = documents[0]["spec"]
        spec["replicas"] = replicas
        for role in ("leaderTemplate", "workerTemplate"):
            template = copy.deepcopy(spec["leaderWorkerTemplate"][role])
            template.setdefault("metadata", {})["annotations"] = dict(annotations)
            template["spec"]["containers"][0]["env"].append({"name": START_METHOD, "value": self.start_method})
            if edit:
                edit(template["spec"])
            spec["leaderWorkerTemplate"][role] = template
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        return kubectl("apply", "--server-side", "--filename=-", namespace=self.namespace, stdin=text)


Style = Chart | Reference
STYLES: Mapping[str, type[Chart] | type[Reference]] = {"reference": Reference, "chart": Chart, "in-place": InPlace}
"""Name, as in results.json -> class."""
ASKED = tuple(name for name in STYLES if name in os.environ.get("FAULT_STYLES", "chart").split())
"""The styles of this run; ``make test-faults STYLES=…`` sets the variable."""
