"""Fixtures of the tier on a real API server: pytest-helm-charts' own, over the cluster of KUBECONFIG."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pykube import Namespace
from pytest_helm_charts.fixtures import kube_cluster
from pytest_helm_charts.k8s.fixtures import namespace_factory

from kit import namespaces
from kit.clientfiles import private_client_files
from kit.release import Release
from kit.simulated import at_least

__all__ = ["kube_cluster", "namespace_factory"]
NODES = 4
"""Two groups of two nodes."""


@pytest.fixture(scope="session")
def client_files() -> Iterator[Path]:
    """Have the files of pytest-helm-charts' client in a private directory."""
    with private_client_files() as directory:
        yield directory


@pytest.fixture(scope="module")
def kube_config(client_files: Path) -> str:
    """Return the kubeconfig that ``kube_cluster`` uses."""
    return os.environ["KUBECONFIG"]


@pytest.fixture(scope="module")
def namespace(namespace_factory: Callable[[str], Namespace]) -> Iterator[str]:
    """Make a namespace of the module's own, removed at the end with all that is in it."""
    name = namespaces.new_name()
    namespace_factory(name)
    with namespaces.used(name):
        yield name


@pytest.fixture(scope="session")
def simulated_nodes() -> Iterator[None]:
    """Have simulated nodes of 8 GPUs each."""
    with at_least(NODES):
        yield


@pytest.fixture
def release(namespace: str, simulated_nodes: None) -> Iterator[Release]:
    """Give a release that a test may install, and remove it at the end."""
    own = Release(namespace)
    yield own
    own.uninstall()
