"""Fixtures for all tests, and the tiers: without a cluster its tests are skipped, not failed."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from kit import evidence, namespaces, progress
from kit.cluster import kubectl

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")
TIERS = ("cluster", "engine", "faults")
"""Marks of the tests that need a cluster."""
NAMESPACE_LIMIT = 180
"""Seconds until a namespace is gone; the tiny model's pods, where some are still in it, have 85 to end."""


def pytest_configure(config: pytest.Config) -> None:
    """Let the slow tiers tell what they do while they do it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        progress.show_past_capture(capture.global_and_fixture_disabled)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, and skip what needs a cluster when KUBECONFIG names none."""
    items.sort(key=minutes, reverse=True)
    if os.environ.get("KUBECONFIG"):
        return
    skip = pytest.mark.skip(reason="needs a cluster: set KUBECONFIG, or run make test-cluster or make test-engine")
    for item in items:
        if any(map(item.get_closest_marker, TIERS)):
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Leave what has been collected out of Python's garbage collections: 6 % of the fast tier's processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def minutes(item: pytest.Item) -> float:
    """Return the minutes that the file of a test says to take."""
    mark = item.get_closest_marker("minutes")
    return float(mark.args[0]) if mark else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what can be seen on the cluster when a test or the preparation of one has failed."""
    report = yield
    if report.failed and report.when != "teardown":
        report.sections += [(f"namespace {name}", evidence.collect(name)) for name in namespaces.in_use]
    return report


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Make a namespace of the module's own, removed at the end with all that is in it."""
    name = namespaces.new_name()
    kubectl("create", "namespace", name)
    try:
        with namespaces.used(name):
            yield name
    finally:
        kubectl("delete", "namespace", name, limit=NAMESPACE_LIMIT)
