"""The kit's comparison of two renderings, and the archive of the previous chart."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from kit.previous import unpacked
from kit.render import Manifests
from kit.upgrades import Change, by_flag, changes, summary

TOPOLOGY = "leaderworkerset.sigs.k8s.io/exclusive-topology"


def group(args: list[str], worker: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Return a LeaderWorkerSet of two roles with arguments."""

    def template(role: str, words: list[str]) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": f"vllm-{role}", "args": words}]}}

    templates = {"leaderTemplate": template("leader", args), "workerTemplate": template("worker", worker or args)}
    metadata = {"name": "vllm", "labels": {"helm.sh/chart": "1"}, **more}
    return {"kind": "LeaderWorkerSet", "metadata": metadata, "spec": {"leaderWorkerTemplate": {"size": 2, **templates}}}


def between(before: dict[str, Any], after: dict[str, Any]) -> set[Change]:
    """Return the changes between two objects."""
    return changes(Manifests([before]), Manifests([after]))


def test_changes_are_none_for_the_labels_of_a_version() -> None:
    assert between(group(["m"]), group(["m"], labels={"helm.sh/chart": "2"})) == set()


def test_changes_of_arguments_go_by_flag_and_by_role() -> None:
    before = group(["m", "--port", "80", "--seed", "1"])
    field = "spec.containers[vllm].args.--seed"
    both = group(["m", "--new", "--port", "80", "--seed", "2"])
    assert Change("LeaderWorkerSet", f"pods: {field}", True, "`1`", "`2`") in between(before, both)
    assert len(between(before, both)) == 2
    leader = group(["m", "--port", "80", "--seed", "2"], ["m", "--port", "80", "--seed", "1"])
    assert between(before, leader) == {Change("LeaderWorkerSet", f"leader: {field}", True, "`1`", "`2`")}


def test_changes_say_which_fields_remake_groups() -> None:
    topology = between(group(["m"]), group(["m"], annotations={TOPOLOGY: "zone"}))
    assert {(one.field, one.restarts) for one in topology} == {(f"metadata.annotations.{TOPOLOGY}", True)}
    other = between(group(["m"]), group(["m"], annotations={"a.example/b": "c"}))
    assert {(one.field, one.restarts) for one in other} == {("metadata.annotations.a.example/b", False)}


def test_changes_name_objects_that_come_and_go() -> None:
    service = {"kind": "Service", "metadata": {"name": "s"}}
    assert changes(Manifests([]), Manifests([service])) == {Change("Service", "s: new", False)}
    assert changes(Manifests([service]), Manifests([])) == {Change("Service", "s: gone", False)}


def test_summary_is_a_sentence_or_a_table() -> None:
    assert summary("Now", {"a": set()}) == "Now: no field changes."
    table = summary("Now", {"a": {Change("Service", "spec.type", False, "`A`", "`B`")}})
    assert table.splitlines()[-1] == "| Service | `spec.type` | all | `A` | `B` | no |"


def test_by_flag_keeps_all_words_of_a_flag() -> None:
    words = ["model", "--a", "1", "2", "--b", "--a", "3"]
    assert by_flag(words) == {"": "model", "--a": "1 2 3", "--b": ""}


@pytest.mark.parametrize("kept", [b"no archive", None])
def test_archive_that_make_did_not_write_is_refused(tmp_path: Path, kept: bytes | None) -> None:
    archive = tmp_path / "previous.tar.gz"
    if kept is None:
        with tarfile.open(archive, "w:gz"):
            pass  # no commit, no chart
    else:
        archive.write_bytes(kept)
    with pytest.raises(ValueError, match=r"previous\.tar\.gz"):
        unpacked(archive, tmp_path / "out")
