"""Upgrades on a real API server: from the previous chart, and which values lead to a field that can't be changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chartfiles.schema import schema_leaves
from chartfiles.tables import lookup
from kit import simulated
from kit.cluster import Object, create, kubectl
from kit.diff import changed_paths
from kit.documents.markdown import prose
from kit.paths import CHART, CHECKOUT
from kit.previous import previous
from kit.progress import step, wait_until
from kit.release import Release, helm_version
from kit.render import HelmFailed, InvalidObjects, Manifests, render
from kit.samples import other_values
from kit.upgrades import changes
from upgrade.table import UPGRADING
from vmn.adapters.programs import Done
from vmn.core.values.yaml import merged, nested, parse_values

pytestmark = [pytest.mark.cluster, pytest.mark.minutes(3)]
LIMIT = 90
"""Seconds in which a group of simulated pods is recreated."""
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
ONE_NODE = CHECKOUT / "values" / "gpt-oss-120b.h100x1.yaml"
BASE = merged(
    simulated.VALUES, {"group": {"replicas": 2}, "auth": {"huggingFace": {"existingSecret": None, "token": "x"}}}
)
"""Values with which every object of the chart is there."""
HOOK = "helm.sh/hook"
TEMPLATES = ("spec.leaderWorkerTemplate.leaderTemplate.", "spec.leaderWorkerTemplate.workerTemplate.")


def test_release_before_is_upgraded_to_this_tree(release: Release) -> None:
    """With the same values: the pods stay, unless tests/upgrade/changes.md lists a field that restarts them."""
    file = next(file for file in previous().presets if file.name == PRESET.name)
    before = render(simulated.VALUES, file, chart=previous().chart, namespace=release.namespace)
    after = render(simulated.VALUES, file, namespace=release.namespace)
    group = [one.one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"] for one in (before, after)]

    Release(release.namespace, chart=previous().chart).install(file, values=simulated.VALUES)
    release.wait_available(LIMIT)
    pods = release.uids()
    release.upgrade(file, values=simulated.VALUES)
    release.wait_available(LIMIT, without=pods if group[0] != group[1] else ())
    assert (release.uids() == pods) is (group[0] == group[1])


@pytest.mark.parametrize("option", ["--wait", "--rollback-on-failure"])
def test_helm_does_not_wait_for_the_groups(release: Release, option: str) -> None:
    """What the guides say: something else has to wait. No node fits these pods."""
    if helm_version() < (4,):
        option = option.replace("--rollback-on-failure", "--atomic")
    nowhere = merged(simulated.VALUES, {"scheduling": {"nodeSelector": {"vllm-test/none": "yes"}}})
    release.upgrade(PRESET, values=nowhere, options=["--install", "--timeout=40s", option])
    assert not release.available()


def test_reused_values_are_refused_with_what_to_use_instead(release: Release) -> None:
    file = next(file for file in previous().presets if file.name == PRESET.name)
    Release(release.namespace, chart=previous().chart).install(file, values=simulated.VALUES)
    done = release.upgrade(check=False, options=["--reuse-values"])
    assert done.code != 0
    assert "must not be null or missing" in done.stderr
    assert said_in_upgrading("`must not be null or missing`")
    assert "use --reset-then-reuse-values instead" in done.stderr
    release.upgrade(options=["--reset-then-reuse-values"])
    assert release.manifest()


REMADE: Mapping[str, Mapping[str, Any]] = {
    "group.restartPolicy": {"group": {"restartPolicy": "RecreateGroupOnPodRestart"}},
    "scheduling.topologyKey": {"scheduling": {"topologyKey": "kubernetes.io/hostname"}},
    "scheduling.subGroup.topologyKey": {"scheduling": {"subGroup": {"topologyKey": "kubernetes.io/hostname"}}},
}
SUBGROUPS: Mapping[str, Any] = merged(simulated.VALUES, {"scheduling": {"subGroup": {"size": 1}}})
KEPT: Mapping[str, Mapping[str, Any]] = {
    "rollout": {"rollout": {"maxUnavailable": 2}},
    "service.port": {"service": {"port": 80}},
    "networkPolicy": {"networkPolicy": {"enabled": False}},
}


@pytest.mark.parametrize("value", [*REMADE, *KEPT])
def test_group_is_recreated_as_the_table_says(release: Release, value: str) -> None:
    given = {**REMADE, **KEPT}[value]
    base = SUBGROUPS if value.startswith("scheduling.subGroup.") else simulated.VALUES
    before, after = (render(values, ONE_NODE) for values in (base, merged(base, given)))
    assert any(change.restarts for change in changes(before, after)) is (value in REMADE)

    release.install(ONE_NODE, values=base)
    release.wait_available(LIMIT)
    pods = release.uids()
    release.upgrade(ONE_NODE, values=merged(base, given))
    if value in REMADE:
        release.wait_available(LIMIT, without=pods)
    else:
        wait_until("look of LeaderWorkerSet at the upgrade", lambda: seen(release), LIMIT)
        release.wait_available(LIMIT)
        assert release.uids() == pods


def seen(release: Release) -> bool:
    """Return whether LeaderWorkerSet's status is about what was last asked for."""
    group = release.group() or {}
    return bool(group) and group["status"].get("observedGeneration") == group["metadata"]["generation"]


def ways() -> dict[str, list[dict[str, Any]]]:
    """Return for each value's key values that differ from the defaults in it alone, the likeliest first."""
    schema = parse_values((CHART / "values.schema.yaml").read_text(encoding="utf-8"))
    defaults = parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    now = merged(merged(defaults, parse_values(PRESET.read_text(encoding="utf-8"))), BASE)
    return {
        key: [merged(BASE, nested(key.split("."), value)) for value in other_values(leaf, lookup(now, key), schema)[:3]]
        for key, leaf in schema_leaves(schema)
    }


def changed(before: Manifests, after: Manifests) -> list[Object]:
    """Return the objects that have another field than those of their pods; new ones and hooks are not changed ones."""
    old = {(one["kind"], one["metadata"]["name"]): one for one in before}
    found = []
    for one in after:
        if HOOK in one["metadata"].get("annotations", {}):
            continue
        paths = changed_paths(old.get((one["kind"], one["metadata"]["name"]), one), one)
        if [path for path in paths if not path.startswith(TEMPLATES)]:
            found.append(one)
    return found


def try_out(documents: list[Object], namespace: str) -> Done:
    """Ask the server whether objects may become so, as Helm asks: without writing anything."""
    verb = ["apply", "--server-side", "--force-conflicts", "--field-manager=helm"]
    if helm_version() < (4,):
        verb = ["replace"]  # Helm 3 removes what it no longer renders, and owns no fields that apply could remove
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    return kubectl(*verb, "--dry-run=server", "--filename=-", namespace=namespace, stdin=text, check=False)


REFUSED: Mapping[str, str] = {
    "scheduling.subGroup.size": "cannot enable subGroupSize after the lws is already created",
}
"""Values that lead to a field that can't be changed, each with what the server says."""


def said_of(namespace: str, before: Manifests, ways: list[dict[str, Any]]) -> str | None:
    """Return what the server says to the first of some values that changes more than pods, None when none does."""
    for values in ways:
        try:
            documents = changed(before, render(values, PRESET, namespace=namespace))
        except (HelmFailed, InvalidObjects):
            continue
        if documents:
            done = try_out(documents, namespace)
            return done.stderr if done.code else ""
    return None


def test_only_the_named_values_lead_to_a_field_that_can_not_be_changed(release: Release) -> None:
    release.install(PRESET, values=BASE)
    before = render(BASE, PRESET, namespace=release.namespace)
    with step("every value that changes more than pods, on the server"), ThreadPoolExecutor(4) as pool:
        asked = {key: pool.submit(said_of, release.namespace, before, values) for key, values in ways().items()}
        said = {key: text for key, one in asked.items() if (text := one.result()) is not None}
    refused = {key: text for key, text in said.items() if text}
    assert set(refused) == set(REFUSED), f"say in UPGRADING.md what to do instead: {refused}"
    for key, words in REFUSED.items():
        assert words in refused[key]
        assert said_in_upgrading(words)
        assert said_in_upgrading(f"`{key}`")
    assert {"group.nodes", "group.replicas", "rollout.maxSurge", "service.type", "service.port"} <= set(said)


def test_server_says_it_when_a_field_can_not_be_changed(release: Release) -> None:
    """The twin of the test above: the way in which it asks does find a refusal."""
    release.install(PRESET, values=BASE)
    secret = render(BASE, PRESET, namespace=release.namespace).one("Secret")
    done = try_out([{**secret, "type": "example.com/other"}], release.namespace)
    assert done.code != 0
    assert "field is immutable" in done.stderr


TAKEN: Mapping[str, tuple[Object, Mapping[str, Any]]] = {
    # value: (what is there already, values that ask for its name)
    "service.name": (
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}, "spec": {"ports": [{"port": 80}]}},
        {"service": {"name": "taken"}},
    ),
    "serviceAccount.name": (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "taken"}},
        {"serviceAccount": {"name": "taken"}},
    ),
}


def said_in_upgrading(words: str) -> bool:
    """Return whether UPGRADING.md quotes a refusal."""
    return words in prose(UPGRADING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("value", TAKEN)
def test_upgrade_takes_over_nothing_that_the_release_did_not_make(release: Release, value: str) -> None:
    thing, values = TAKEN[value]
    release.install(PRESET, values=simulated.VALUES)
    create(thing, release.namespace)
    try:
        done = release.upgrade(PRESET, values=merged(simulated.VALUES, values), check=False)
    finally:
        kubectl("delete", thing["kind"], "taken", namespace=release.namespace)
    assert done.code != 0
    words = "exists and cannot be imported into the current release: invalid ownership metadata"
    assert words in done.stderr
    assert said_in_upgrading(words)
    assert said_in_upgrading(f"`{value}`")


def test_service_account_that_is_there_is_used_when_none_is_made(release: Release) -> None:
    """What UPGRADING.md says to do instead."""
    release.install(PRESET, values=simulated.VALUES)
    release.upgrade(PRESET, values=merged(simulated.VALUES, {"serviceAccount": {"create": False, "name": "default"}}))
    group = release.group()
    assert group
    template = group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
    assert template["spec"]["serviceAccountName"] == "default"


def test_subgroups_are_taken_by_a_release_that_is_installed_again(release: Release) -> None:
    """What UPGRADING.md says to do instead; and the way back is refused too."""
    values = merged(simulated.VALUES, {"scheduling": {"subGroup": {"size": 2}}})
    release.install(PRESET, values=simulated.VALUES)
    release.uninstall()
    release.install(PRESET, values=values)
    done = release.upgrade(PRESET, values=simulated.VALUES, check=False)
    assert done.code != 0
    words = "cannot remove subGroupSize after enabled"
    assert words in done.stderr
    assert said_in_upgrading(words)


def test_old_name_goes_when_fullname_override_changes(release: Release) -> None:
    """Nothing is refused: Helm makes everything under the new name, then removes the old."""
    release.install(PRESET, values=simulated.VALUES)
    release.wait_available(LIMIT)
    renamed = Release(release.namespace, name=release.name)
    renamed.upgrade(PRESET, values=merged(simulated.VALUES, {"fullnameOverride": "other"}))
    names = {one["metadata"]["name"] for one in release.manifest() if one["kind"] == "LeaderWorkerSet"}
    assert names == {"other"}
    assert release.group() is None
