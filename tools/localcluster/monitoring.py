"""What watches releases on clusters that have it: Prometheus from Debian, and the kinds of the Prometheus operator.

The operator itself is not there: the Go module proxy does not have its module, only that of its types. Its kinds are
made from these types with controller-gen, as the operator's project makes them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from localcluster.cache import built, content_key
from localcluster.host import run, step
from localcluster.programs import MODULES, build, go, module_key

SUITE = "bookworm"
PROGRAMS = ("prometheus", "promtool")
TYPES = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
KINDS = ("podmonitors", "prometheusrules")
"""Those of the operator's kinds that the chart has objects of."""


def prometheus() -> Path:
    """Return the directory with Debian's prometheus and promtool, unpacked on the first call (0.1 GB).

    Raises:
        HostError: mmdebstrap is missing or fails, such as without a network.
    """
    return built("prometheus", content_key([SUITE, *PROGRAMS]), _unpack)


def kinds() -> list[Path]:
    """Return the CustomResourceDefinitions of KINDS, made on the first call.

    Raises:
        HostError: the generator can't be built, or fails.
    """
    folder = built("monitoring-kinds", content_key([module_key("prometheus-operator"), TYPES, *KINDS]), _generate)
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]


def _unpack(target: Path) -> None:
    root = target / "root"
    with step("unpacking Debian's Prometheus"):
        run(["mmdebstrap", "--quiet", "--variant=extract", "--include=prometheus", SUITE, root], timeout=900)
        for name in PROGRAMS:
            shutil.move(root / "usr" / "bin" / name, target / name)
        shutil.rmtree(root)


def _generate(target: Path) -> None:
    generator = build("prometheus-operator") / "controller-gen"
    path = f"{go().parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0"}
    with step("making the Prometheus operator's kinds"):
        options = ["crd:crdVersions=v1", f"paths={TYPES}", f"output:crd:dir={target}"]
        run([generator, *options], cwd=MODULES / "prometheus-operator", env=env)
