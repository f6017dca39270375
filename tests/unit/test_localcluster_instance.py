"""The local clusters of one machine, and their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from localcluster import instance


@pytest.mark.parametrize("name", instance.INSTANCES)
def test_cluster_is_found_by_its_name(name: str) -> None:
    assert instance.named(name) is instance.INSTANCES[name]


def test_clusters_share_nothing() -> None:
    one, other = instance.INSTANCES.values()
    assert not set(vars(one).values()) & set(vars(other).values())


def test_command_names_the_clusters_that_there_are_when_another_one_is_asked_for() -> None:
    command = ["env", f"{instance.VARIABLE}=mine", sys.executable, "-m", "localcluster", "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "LOCALCLUSTER=mine: no such local cluster; there is tests, or leave LOCALCLUSTER unset\n"
