"""What the network between nodes needs of a cluster besides resources of nodes: Google's Networks, NVIDIA's domains."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped

INTERFACES = "networking.gke.io/interfaces"
GOOGLE_NETWORKS = "networks"
POD_NETWORK = "default"
"""The network of Google's that every cluster has."""
DOMAINS = "computedomains"
CHANNEL = "compute-domain-default-channel.nvidia.com"
"""The DeviceClass of a workload's claim (k8s-dra-driver-gpu, templates/compute-domain-workload-claim-template)."""
DRIVER = "Install NVIDIA's DRA driver for GPUs 25.8 or later, with resources.computeDomains.enabled."


def google_networks(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 12, for Google's clusters: the networks of the GPUs' interfaces exist."""
    names = google_names(release)
    there = {item["metadata"]["name"] for item in snapshot.all(GOOGLE_NETWORKS)} | {POD_NETWORK}
    missing = [name for name in names if name not in there]
    if not names:
        yield skipped("google-networks", "pods ask for none of Google's networks")
    elif not snapshot.served(GOOGLE_NETWORKS):
        fix = "Turn multi-networking on for the cluster (gcloud: --enable-multi-networking), or use another profile."
        yield failed("google-networks", "the cluster has no Networks of networking.gke.io", fix)
    elif missing and GOOGLE_NETWORKS not in snapshot.denied:
        fix = "kubectl get networks.networking.gke.io lists those there are: name them in fabric.networks."
        yield failed("google-networks", f"there is no Network {missing[0]}", fix)
    elif not missing:
        yield passed("google-networks", f"there: {', '.join(names)}")


def google_names(release: RenderedRelease) -> list[str]:
    """Return the networks of Google's that pods name, each once."""
    notes = [annotations_of(pod.template) for pod in release.pods]
    entries = [entry for note in notes if INTERFACES in note for entry in json.loads(note[INTERFACES])]
    return list(dict.fromkeys(entry["network"] for entry in entries))


def domains(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 13: the cluster knows ComputeDomains and their channels, and a claim's template is there."""
    names = claim_templates(release)
    if not names:
        yield skipped("compute-domain", "pods claim no devices")
        return
    made = {item["spec"]["channel"]["resourceClaimTemplate"]["name"] for item in release.of_kind("ComputeDomain")}
    foreign = [name for name in names if name not in made]
    missing = [name for name in foreign if not snapshot.named("resourceclaimtemplates", name)]
    if not snapshot.served("deviceclasses"):
        text = "the cluster does not serve resource.k8s.io/v1, which claims of devices need"
        yield failed("compute-domain", text, "Upgrade to Kubernetes 1.34 or later.")
    elif made and not snapshot.served(DOMAINS):
        yield failed("compute-domain", "the cluster has no ComputeDomains (resource.nvidia.com/v1beta1)", DRIVER)
    elif made and "deviceclasses" not in snapshot.denied and not snapshot.named("deviceclasses", CHANNEL):
        yield failed("compute-domain", f"there is no DeviceClass {CHANNEL}", DRIVER)
    elif missing and "resourceclaimtemplates" not in snapshot.denied:
        fix = "Make a ComputeDomain whose channel has this name, or leave fabric.claimTemplate out."
        yield failed("compute-domain", f"there is no ResourceClaimTemplate {missing[0]}", fix)
    else:
        yield passed("compute-domain", f"channels can be claimed: {', '.join(names)}")


def claim_templates(release: RenderedRelease) -> list[str]:
    """Return the ResourceClaimTemplates that pods name, each once."""
    claims = [claim for pod in release.pods for claim in pod.spec.get("resourceClaims") or ()]
    names = (claim.get("resourceClaimTemplateName") for claim in claims)
    return list(dict.fromkeys(name for name in names if name))
