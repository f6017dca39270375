"""Checks of the API server and LeaderWorkerSet: versions, the controller, its webhook."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.lws import CONTROLLER, CRD, OLDEST
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, warned

IMAGE_VOLUMES = (1, 35)
"""The Kubernetes version that enables image volumes by default."""
INSTALL = "Install LeaderWorkerSet 0.9 or later."


def version(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that Kubernetes is recent enough."""
    uses_images = any("image" in volume for pod in release.pods for volume in pod.spec.get("volumes") or ())
    here = ".".join(map(str, snapshot.version))
    if snapshot.version < OLDEST:
        yield failed("server", f"Kubernetes {here}", "Upgrade the cluster: LeaderWorkerSet needs 1.27 or later.")
    elif uses_images and snapshot.version < IMAGE_VOLUMES:
        fix = "Use another weights.source, or upgrade to 1.35."
        yield failed("server", f"Kubernetes {here} has no image volumes, which the weights need", fix)
    else:
        yield passed("server", f"Kubernetes {here}")


def crd(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that LeaderWorkerSet is installed, recent enough, and not tied to another Helm release."""
    found = snapshot.named("customresourcedefinitions", CRD)
    if found is None:
        if "customresourcedefinitions" not in snapshot.denied:
            yield failed("lws", "LeaderWorkerSet is not installed on the cluster", INSTALL)
        return
    wanted = str(release.lws["spec"]["leaderWorkerTemplate"].get("restartPolicy", "RecreateGroupOnPodRestart"))
    policies = _policies(found)
    if policies and wanted not in policies:
        known = ", ".join(policies)
        fix = "Upgrade LeaderWorkerSet to 0.9 or later, or set group.restartPolicy to a policy that it knows."
        yield failed("lws", f"this LeaderWorkerSet does not know restartPolicy {wanted}: {known}", fix)
        return
    notes = annotations_of(found)
    owner = notes.get("meta.helm.sh/release-name")
    if owner and notes.get("helm.sh/resource-policy") != "keep":
        fix = f"kubectl annotate customresourcedefinition {CRD} helm.sh/resource-policy=keep"
        text = f"`helm uninstall {owner}` would delete the CRD, and with it every LeaderWorkerSet of the cluster"
        yield warned("lws", text, fix)
    else:
        yield passed("lws", f"LeaderWorkerSet is installed, and knows restartPolicy {wanted}")


def _policies(crd: Object) -> list[str]:
    for version in crd["spec"]["versions"]:
        try:
            spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            found: list[str] = spec["leaderWorkerTemplate"]["properties"]["restartPolicy"]["enum"]
        except KeyError:
            continue
        return found
    return []


def controller(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that LeaderWorkerSet's controller runs, and that its webhook accepts the release."""
    deployments = [item for item in snapshot.all("deployments") if item["metadata"]["name"] == CONTROLLER]
    for item in deployments:
        if not item.get("status", {}).get("availableReplicas"):
            where = item["metadata"]["namespace"]
            fix = f"kubectl --namespace {where} describe deployment {CONTROLLER}"
            yield failed("lws-controller", f"{CONTROLLER} in {where} has no available pod", fix)
            return
    refusal = snapshot.dry_runs.get(f"LeaderWorkerSet/{release.lws['metadata']['name']}")
    if refusal:
        yield failed("lws-controller", f"the API server refuses the LeaderWorkerSet: {refusal}", _webhook_fix(refusal))
    elif refusal is None and not deployments:
        yield warned(
            "lws-controller",
            "you may not read the controller",
            f"{INSTALL} Or add the right to create LeaderWorkerSets, for a dry run.",
        )
    else:
        yield passed("lws-controller", "the controller runs, and the API server accepts the LeaderWorkerSet (dry run)")


def _webhook_fix(refusal: str) -> str:
    if "webhook" in refusal:
        return f"Check the webhook's pods and certificate: kubectl --namespace lws-system get pods,endpointslices,{CRD}"
    return "Change the values that the message names."
