"""What ``vmn preflight`` finds before an upgrade that the API server accepts and LeaderWorkerSet then can't apply."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from unit.preflight_data.cluster import HealthyCluster, Object, named
from vmn.core.preflight.result import CheckResult, CheckStatus

CLAIM: Object = {
    "metadata": {"name": "cache"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    },
}


def claim(name: str = "cache", size: str = "20Gi", **spec: Any) -> Object:
    """Return the template of a claim."""
    changed = {"resources": {"requests": {"storage": size}}, **spec}
    found = {**CLAIM["spec"], **changed}
    return {"metadata": {"name": name}, "spec": {key: value for key, value in found.items() if value is not None}}


def say(before: list[Object], after: list[Object], *, statefulset: bool = True) -> CheckResult:
    """Return the result for a release whose StatefulSet has some claims, and which asks for other ones."""
    cluster = HealthyCluster()
    if after:
        cluster.lws["spec"]["leaderWorkerTemplate"]["volumeClaimTemplates"] = after
    claims = copy.deepcopy(before)
    for one in claims:
        one["spec"]["volumeMode"] = one["spec"].get("volumeMode", "Filesystem")
    spec = {"volumeClaimTemplates": claims} if claims else {}
    installed = named("vllm", spec={"leaderWorkerTemplate": spec})
    installed["metadata"]["annotations"] = {"meta.helm.sh/release-name": "vllm"}
    cluster.read["leaderworkersets"] = [installed]
    if statefulset:
        cluster.read["statefulsets"] = [named("vllm", spec=spec)]
    else:
        cluster.denied["statefulsets"] = "Add a rule."
    (found,) = [item for item in cluster.say() if item.check == "cache-claims"]
    return found


CHANGES = {
    "added": ([], [claim()], "claim cache is added"),
    "removed": ([claim()], [], "claim cache is removed"),
    "renamed": ([claim()], [claim("more")], "claim cache is removed; claim more is added"),
    "larger": ([claim()], [claim(size="30Gi")], "the size of claim cache changes from 20Gi to 30Gi"),
    "smaller": ([claim()], [claim(size="20G")], "the size of claim cache changes from 20Gi to 20G"),
    "class": ([claim()], [claim(storageClassName="slow")], "the StorageClass of claim cache changes from fast to slow"),
    "no class": ([claim()], [claim(storageClassName=None)], "the StorageClass of claim cache changes from fast to uns"),
    "access mode": (
        [claim()],
        [claim(accessModes=["ReadWriteMany"])],
        "the access mode of claim cache changes from ReadWriteOnce to ReadWriteMany",
    ),
    "volume mode": ([claim()], [claim(volumeMode="Block")], "the volume mode of claim cache changes from Filesystem"),
    "limit": (
        [claim()],
        [claim(resources={"requests": {"storage": "20Gi"}, "limits": {"storage": "20Gi"}})],
        "the limit of claim cache changes from unset to 20Gi",
    ),
}


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_change_of_the_claims_fails(change: str, readable: bool) -> None:
    before, after, words = CHANGES[change]
    found = say(before, after, statefulset=readable)
    assert found.status is CheckStatus.FAIL
    assert words in found.text
    assert "cache.size" in found.fix


@pytest.mark.parametrize(
    ("before", "after"),
    [([], []), ([claim()], [claim()]), ([claim()], [claim(size="20480Mi")]), ([claim()], [{**claim(), "kind": "x"}])],
)
def test_same_claims_pass(before: list[Object], after: list[Object]) -> None:
    assert say(before, after).status is CheckStatus.PASS


def test_labels_of_a_claim_do_not_count_as_lws_does_not_copy_them() -> None:
    labelled = {**claim(), "metadata": {"name": "cache", "labels": {"a": "b"}}}
    assert say([claim()], [labelled]).status is CheckStatus.PASS


def test_first_installation_is_not_checked() -> None:
    assert [item.status for item in HealthyCluster().say() if item.check == "cache-claims"] == [CheckStatus.SKIP]


def test_statefulset_counts_when_the_leaderworkerset_already_asks_for_other_claims() -> None:
    cluster = HealthyCluster()
    cluster.lws["spec"]["leaderWorkerTemplate"]["volumeClaimTemplates"] = [claim()]
    changed = {"leaderWorkerTemplate": {"volumeClaimTemplates": [claim(size="30Gi")]}}
    cluster.read["leaderworkersets"] = [named("vllm", spec=changed)]
    cluster.read["statefulsets"] = [named("vllm", spec={"volumeClaimTemplates": [claim()]})]
    assert [item.status for item in cluster.say() if item.check == "cache-claims"] == [CheckStatus.PASS]
