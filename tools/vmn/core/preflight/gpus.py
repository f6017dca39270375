"""Checks of GPUs by the labels of GPU feature discovery: of one kind, whole, and with a recent driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot, labels_of
from vmn.core.preflight.nodes import NodeFit, Placement
from vmn.core.preflight.result import CheckResult, failed, nodes_are, passed, skipped, warned

PRODUCT = "nvidia.com/gpu.product"
DRIVER = ("nvidia.com/cuda.driver-version.major", "nvidia.com/cuda.driver.major")
DRIVER_NEEDED = 580
"""Version of NVIDIA's data center driver for CUDA 13.0, which the images of vLLM 0.32 and 0.33 have."""
SHARED = "-SHARED"


def _named(release: RenderedRelease, snapshot: Snapshot) -> list[NodeFit]:
    return [fit for fit in Placement(release, snapshot).open if PRODUCT in labels_of(fit.node)]


def products(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the nodes for the pods have GPUs of one kind."""
    kinds = Counter(labels_of(fit.node)[PRODUCT] for fit in _named(release, snapshot))
    if not kinds:
        yield skipped("gpu-kind", f"no node has the label {PRODUCT}")
    elif len(kinds) == 1:
        yield passed("gpu-kind", f"all nodes have {next(iter(kinds))}")
    else:
        found = ", ".join(f"{count} with {kind}" for kind, count in kinds.most_common())
        fix = f"Select one kind with scheduling.nodeSelector, such as {PRODUCT}={kinds.most_common(1)[0][0]}."
        yield failed("gpu-kind", f"a group may get GPUs of different kinds: {found}", fix)


def driver(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the driver is recent enough for the image's CUDA."""
    found = {
        fit.node["metadata"]["name"]: int(value)
        for fit in _named(release, snapshot)
        for value in [next((labels_of(fit.node)[key] for key in DRIVER if key in labels_of(fit.node)), "")]
        if value.isdigit()
    }
    old = {name: value for name, value in found.items() if value < DRIVER_NEEDED}
    if not found:
        yield skipped("driver", "no node has a label with its driver version")
    elif old:
        name, value = next(iter(old.items()))
        text = f"{nodes_are(len(old), 'has', 'have')} a driver older than {DRIVER_NEEDED}: {name} has {value}"
        fix = f"Install driver {DRIVER_NEEDED} or later, or set image.tag to a tag with -cu129, which needs only 525."
        yield failed("driver", text, fix)
    else:
        yield passed("driver", f"every node has driver {min(found.values())} or later")


def shared(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that GPUs are neither partitioned (MIG) nor shared (time-slicing, MPS)."""
    labelled = {fit.node["metadata"]["name"]: labels_of(fit.node) for fit in _named(release, snapshot)}
    cut = [name for name, found in labelled.items() if _is_cut(found)]
    split = [name for name, found in labelled.items() if _is_split(found)]
    if cut:
        fix = "Set nvidia.com/mig.config=all-disabled on these nodes, or select others: NCCL can't connect MIG devices."
        yield failed("whole-gpus", f"{nodes_are(len(cut), 'has', 'have')} GPUs partitioned with MIG: {cut[0]}", fix)
    if split:
        fix = "Disable time-slicing on these nodes, or select others: several pods would share a GPU's memory."
        yield warned("whole-gpus", f"{nodes_are(len(split), 'shares its', 'share their')} GPUs: {split[0]}", fix)
    if not labelled:
        yield skipped("whole-gpus", f"no node has the label {PRODUCT}")
    elif not cut and not split:
        yield passed("whole-gpus", "no GPU is partitioned or shared")


def _is_cut(found: Mapping[str, str]) -> bool:
    if "MIG" in found[PRODUCT]:
        return True
    on = found.get("nvidia.com/mig.strategy", "none") not in ("none", "")
    return on and found.get("nvidia.com/mig.config", "all-disabled") != "all-disabled"


def _is_split(found: Mapping[str, str]) -> bool:
    return found[PRODUCT].endswith(SHARED) or found.get("nvidia.com/gpu.replicas", "1") not in ("0", "1")
