"""Checks of objects that the network between nodes needs: Google's Networks, and NVIDIA's ComputeDomains."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped

INTERFACES = "networking.gke.io/interfaces"
GOOGLE_NETWORKS = "networks"
POD_NETWORK = "default"
"""The Google network that every cluster has."""
DOMAINS = "computedomains"
CHANNEL = "compute-domain-default-channel.nvidia.com"
"""The DeviceClass of a workload's claim (k8s-dra-driver-gpu, templates/compute-domain-workload-claim-template)."""
DRIVER = "Install NVIDIA's DRA driver for GPUs 25.8 or later, with resources.computeDomains.enabled."


def google_networks(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check on Google's clusters that the networks of the GPUs' interfaces exist."""
    names = google_names(release)
    existing = {item["metadata"]["name"] for item in snapshot.all(GOOGLE_NETWORKS)} | {POD_NETWORK}
    missing = [name for name in names if name not in existing]
    if not names:
        yield skipped("google-networks", "the pods use no Google networks")
    elif not snapshot.served(GOOGLE_NETWORKS):
        fix = "Enable multi-networking (gcloud: --enable-multi-networking), or use another fabric.profile."
        yield failed("google-networks", "the cluster does not know Networks of networking.gke.io", fix)
    elif missing and GOOGLE_NETWORKS not in snapshot.denied:
        fix = "Set fabric.networks to networks that kubectl get networks.networking.gke.io lists."
        yield failed("google-networks", f"there is no Network {missing[0]}", fix)
    elif not missing:
        yield passed("google-networks", f"these networks exist: {', '.join(names)}")


def google_names(release: RenderedRelease) -> list[str]:
    """Return the Google networks that pods use, each once."""
    notes = [annotations_of(pod.template) for pod in release.pods]
    entries = [entry for note in notes if INTERFACES in note for entry in json.loads(note[INTERFACES])]
    return list(dict.fromkeys(entry["network"] for entry in entries))


def domains(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the cluster knows ComputeDomains and their channels, and that the claims' templates exist."""
    names = claim_templates(release)
    if not names:
        yield skipped("compute-domain", "the pods claim no devices")
        return
    made = {item["spec"]["channel"]["resourceClaimTemplate"]["name"] for item in release.of_kind("ComputeDomain")}
    foreign = [name for name in names if name not in made]
    missing = [name for name in foreign if not snapshot.named("resourceclaimtemplates", name)]
    if not snapshot.served("deviceclasses"):
        text = "the cluster does not serve resource.k8s.io/v1, which device claims need"
        yield failed("compute-domain", text, "Upgrade to Kubernetes 1.34 or later.")
    elif made and not snapshot.served(DOMAINS):
        yield failed("compute-domain", "the cluster does not know ComputeDomains (resource.nvidia.com/v1beta1)", DRIVER)
    elif made and "deviceclasses" not in snapshot.denied and not snapshot.named("deviceclasses", CHANNEL):
        yield failed("compute-domain", f"there is no DeviceClass {CHANNEL}", DRIVER)
    elif missing and "resourceclaimtemplates" not in snapshot.denied:
        fix = "Create a ComputeDomain whose channel has this name, or unset fabric.claimTemplate."
        yield failed("compute-domain", f"there is no ResourceClaimTemplate {missing[0]}", fix)
    else:
        yield passed("compute-domain", f"these channels can be claimed: {', '.join(names)}")


def claim_templates(release: RenderedRelease) -> list[str]:
    """Return the ResourceClaimTemplates that pods use, each once."""
    claims = [claim for pod in release.pods for claim in pod.spec.get("resourceClaims") or ()]
    names = (claim.get("resourceClaimTemplateName") for claim in claims)
    return list(dict.fromkeys(name for name in names if name))
