"""What the doctor says of a release whose last change LeaderWorkerSet has not applied."""

from __future__ import annotations

from typing import Any

import pytest

from unit.doctor_data.failures import controller_down
from unit.doctor_data.world import World, stamp
from unit.test_preflight_upgrade import CHANGES, claim
from vmn.core.doctor.finding import GroupHealth, Severity


def changed(ago: float = 120, observed: int | None = 1) -> World:
    """Return a release that serves and was changed some seconds ago, with the generation that LWS has observed."""
    world = World(groups=2)
    lws = world.objects["leaderworkersets"][0]
    spec_of = {"manager": "helm", "time": stamp(ago), "fieldsV1": {"f:spec": {"f:leaderWorkerTemplate": {}}}}
    lws["metadata"] |= {"generation": 2, "managedFields": [spec_of], "labels": {"app.kubernetes.io/instance": "mine"}}
    lws["status"] = {} if observed is None else {"observedGeneration": observed}
    return world


def with_claims(world: World, before: list[Any], after: list[Any]) -> World:
    world.objects["statefulsets"][0]["spec"]["volumeClaimTemplates"] = before
    world.objects["leaderworkersets"][0]["spec"]["leaderWorkerTemplate"]["volumeClaimTemplates"] = after
    return world


@pytest.mark.parametrize("change", CHANGES)
def test_changed_claims_are_the_verdict_while_the_groups_serve(change: str) -> None:
    before, after, words = CHANGES[change]
    found = with_claims(changed(), before, after).say()
    assert found.state is GroupHealth.FAILED
    assert [(item.id, item.severity) for item in found.findings] == [("claims-changed", Severity.CAUSE)] * 2
    assert words in found.findings[0].text
    assert "helm rollback -n serving mine" in found.findings[0].fix


def test_claims_that_stay_are_no_finding() -> None:
    world = with_claims(changed(observed=2), [claim()], [claim(size="20480Mi")])
    assert world.say().findings == []


@pytest.mark.parametrize(
    ("ago", "observed", "found"), [(120, 1, True), (5, 1, False), (120, 2, False), (9, None, False)]
)
def test_change_that_is_not_applied_is_found_after_a_moment(ago: float, observed: int | None, found: bool) -> None:
    said = changed(ago, observed).say()
    assert ([item.id for item in said.findings] == ["change-not-applied"] * 2) is found
    assert said.state is (GroupHealth.FAILED if found else GroupHealth.SERVING)
    if found:
        assert "has generation 2, but lws-controller-manager has observed only 1" in said.findings[0].evidence[0].line


def test_change_waits_for_a_controller_that_is_down() -> None:
    world = changed()
    controller_down(world)
    said = world.say()
    assert said.state is GroupHealth.SERVING
    assert {(item.id, item.severity) for item in said.findings} == {
        ("change-waits", Severity.NOTE),
        ("lws-controller-down", Severity.NOTE),
    }


def test_release_that_has_not_caught_up_is_read_again() -> None:
    assert not changed(ago=1).release().controller_caught_up
    assert changed(ago=1, observed=2).release().controller_caught_up
    assert World().release().controller_caught_up
