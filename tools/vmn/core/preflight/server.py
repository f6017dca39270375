"""The server and LeaderWorkerSet: versions, the controller, its webhook."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.lws import CONTROLLER, CRD, OLDEST
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, warned

IMAGE_VOLUMES = (1, 35)
"""From which on image volumes are on by default."""
INSTALL = "Install LeaderWorkerSet 0.9 or later."


def version(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 1: the server is new enough."""
    uses_images = any("image" in volume for pod in release.pods for volume in pod.spec.get("volumes") or ())
    here = ".".join(map(str, snapshot.version))
    if snapshot.version < OLDEST:
        yield failed("server", f"Kubernetes {here}", "LeaderWorkerSet needs 1.27 or later: upgrade the cluster.")
    elif uses_images and snapshot.version < IMAGE_VOLUMES:
        fix = "Use weights.source with another kind, or upgrade to 1.35."
        yield failed("server", f"Kubernetes {here} has no image volumes, which the weights come in", fix)
    else:
        yield passed("server", f"Kubernetes {here}")


def crd(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Checks 2 and 4: LeaderWorkerSet is known, new enough, and will not go with some release."""
    found = snapshot.named("customresourcedefinitions", CRD)
    if found is None:
        if "customresourcedefinitions" not in snapshot.denied:
            yield failed("lws", "the cluster has no LeaderWorkerSet", INSTALL)
        return
    wanted = str(release.lws["spec"]["leaderWorkerTemplate"].get("restartPolicy", "RecreateGroupOnPodRestart"))
    policies = _policies(found)
    if policies and wanted not in policies:
        known = ", ".join(policies)
        fix = "Upgrade LeaderWorkerSet to 0.9 or later, or set group.restartPolicy to one that it knows."
        yield failed("lws", f"this LeaderWorkerSet does not know restartPolicy {wanted}: {known}", fix)
        return
    notes = annotations_of(found)
    owner = notes.get("meta.helm.sh/release-name")
    if owner and notes.get("helm.sh/resource-policy") != "keep":
        fix = f"kubectl annotate customresourcedefinition {CRD} helm.sh/resource-policy=keep"
        text = f"`helm uninstall {owner}` would delete every LeaderWorkerSet of the cluster, as its CRD goes with it"
        yield warned("lws", text, fix)
    else:
        yield passed("lws", f"LeaderWorkerSet is known, with restartPolicy {wanted}")


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
    """Check 3: LeaderWorkerSet's controller runs, and its webhook takes the release."""
    deployments = [item for item in snapshot.all("deployments") if item["metadata"]["name"] == CONTROLLER]
    for item in deployments:
        if not item.get("status", {}).get("availableReplicas"):
            where = item["metadata"]["namespace"]
            fix = f"kubectl --namespace {where} describe deployment {CONTROLLER}"
            yield failed("lws-controller", f"{CONTROLLER} in {where} has no available pod", fix)
            return
    said = snapshot.dry_runs.get(f"LeaderWorkerSet/{release.lws['metadata']['name']}")
    if said:
        yield failed("lws-controller", f"the server refuses the LeaderWorkerSet: {said}", _webhook_fix(said))
    elif said is None and not deployments:
        yield warned("lws-controller", "the controller can't be seen", f"{INSTALL} Or allow to create (dry run).")
    else:
        yield passed("lws-controller", "the controller runs, and the server takes the LeaderWorkerSet (dry run)")


def _webhook_fix(said: str) -> str:
    if "webhook" in said:
        return f"See the webhook's pods and certificate: kubectl --namespace lws-system get pods,endpointslices,{CRD}"
    return "Change the values that the message names."
