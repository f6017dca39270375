"""What ``vmn install-test`` would run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vmn.core.install_test import Settings, Step, items, last, refusal

SETTINGS = Settings(
    chart=Path("charts/c"),
    values_files=[Path("values/a.yaml"), Path("values/b.yaml")],
    extra_values=[Path("kwok.yaml")],
    namespace="ns",
    own_namespace=True,
    config=Path("ct.yaml"),
    wait=100,
)


def test_items_are_chart_testing_and_then_every_preset() -> None:
    assert [item.name for item in items(SETTINGS)] == ["ct lint", "ct install", "preset a.yaml", "preset b.yaml"]


def test_preset_is_rendered_installed_checked_and_removed() -> None:
    item = items(SETTINGS)[2]
    verbs = [" ".join(step.command[:2]) for step in item.steps]
    assert verbs == [
        "helm lint",
        "helm template",
        "helm install",
        "kubectl wait",
        "kubectl get",
        "helm uninstall",
        "kubectl wait",
        "kubectl get",
        "kubectl get",
    ]
    assert [step.prints for step in item.steps][-2:] == ["nothing", "nothing"]
    assert "--ignore-not-found" not in item.steps[5].command, "a release that is gone by itself is a failure"
    install = list(item.steps[2].command)
    assert install.index("values/a.yaml") < install.index("kwok.yaml"), "extra values must win"


UPGRADED = replace(
    SETTINGS,
    previous=Path("old/charts/c"),
    upgrades=[(Path("old/values/a.yaml"), Path("values/a.yaml"))],
    git_root=Path.cwd(),
    chart=Path.cwd() / "charts/c",
)


def test_upgrade_goes_from_the_previous_chart_with_its_own_values_to_this_one() -> None:
    items_ = {item.name: item for item in items(UPGRADED)}
    assert list(items_)[-1] == "upgrade a.yaml"
    steps = [" ".join(step.command) for step in items_["upgrade a.yaml"].steps]
    assert steps[0].startswith(
        "helm install install-test-3 old/charts/c --namespace ns --create-namespace --values old/val"
    )
    (upgraded,) = [step for step in steps if step.startswith("helm upgrade")]
    assert upgraded.startswith(
        f"helm upgrade install-test-3 {UPGRADED.chart} --namespace ns --values values/a.yaml --values"
    )
    counted = steps[steps.index(upgraded) + 2]
    assert "updatedReplicas" in counted, "groups of the old revision would do"
    assert items_["upgrade a.yaml"].cleanup


def test_chart_testing_upgrades_in_the_checkout_with_a_relative_path() -> None:
    """Chart-testing silently skips a chart that it does not find on the branch."""
    (step,) = items(UPGRADED)[1].steps
    assert list(step.command[:3]) == ["ct", "install", "--upgrade"]
    assert step.command[step.command.index("--charts") + 1] == "charts/c"
    assert step.folder == Path.cwd()
    assert "--upgrade" not in items(SETTINGS)[1].steps[0].command


def test_every_step_has_a_limit_beyond_its_own_timeout() -> None:
    for item in [*items(SETTINGS), *items(UPGRADED)]:
        for step in [*item.steps, *item.explain, *item.cleanup, *last(SETTINGS)]:
            waits = [part for part in step.command if part.startswith("--timeout=")]
            assert step.limit > (SETTINGS.wait if waits else 0), step.command


def test_preset_waits_until_leaderworkerset_s_objects_are_gone() -> None:
    wait = [step.command for step in items(SETTINGS)[2].steps if step.command[1:3] == ["wait", "--for=delete"]]
    assert len(wait) == 1
    assert "controllerrevisions" in wait[0][3]
    assert "leaderworkerset.sigs.k8s.io/name=install-test-1" in wait[0]


def test_failed_preset_is_uninstalled_and_its_pods_are_awaited() -> None:
    commands = [" ".join(step.command) for step in items(SETTINGS)[2].cleanup]
    assert commands[0].startswith("helm uninstall install-test-1 --namespace ns --ignore-not-found --wait")
    assert commands[1].startswith("kubectl wait --for=delete statefulsets,pods,")
    assert len(commands) == 2


@pytest.mark.parametrize(("own", "removed"), [(True, True), (False, False)])
def test_namespace_is_deleted_at_the_end_only_when_the_test_created_it(own: bool, removed: bool) -> None:
    commands = [" ".join(step.command) for step in last(replace(SETTINGS, own_namespace=own))]
    assert any("delete namespace ns" in command for command in commands) is removed


@pytest.mark.parametrize(
    ("prints", "output", "words"),
    [
        ("nothing", "", ""),
        ("nothing", "pod/a\npod/b\n", "left behind: pod/a, pod/b"),
        ("same", "2 2", ""),
        ("same", "2 2 2", ""),
        ("same", "2 2 1", "desired and ready groups differ: 2 2 1"),
        ("same", "2", "desired and ready groups differ: 2"),
        ("same", "2 1", "desired and ready groups differ: 2 1"),
        ("same", "", "none found"),
        (None, "anything", ""),
    ],
)
def test_refusal_says_what_is_wrong_with_the_output(prints: str | None, output: str, words: str) -> None:
    found = refusal(Step(["x"], 1, prints), output)
    assert words in found
    assert bool(words) is bool(found)
