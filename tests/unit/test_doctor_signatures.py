"""The table of signatures: each matches the words of the program that prints them, and healthy releases match none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.paths import CHECKOUT
from unit.doctor_data.world import UP, World, condition, stamp
from vmn.adapters.signatures import TABLE, load_signatures
from vmn.core.doctor.finding import GroupHealth, Severity
from vmn.core.doctor.signature import Precedence, SignatureError, signatures

HERE = Path(__file__).with_name("doctor_data")
"""Excerpts, and logs of vLLM 0.32's CPU build, started as the name of the file says."""
EXCERPTS: list[dict[str, Any]] = yaml.safe_load(HERE.joinpath("excerpts.yaml").read_text(encoding="utf-8"))
BY_ID = {item.id: item for item in load_signatures()}
OF_SCENARIOS = frozenset({"node", "group", "cluster"})
"""Signatures of observations: test_doctor_scenarios.py has a cluster for each."""
END = "vllm-multinode: vllm serve ended with exit status 1 after 12 s (served: no); the container ends in 30 s"
ENTRY = {"id": "a", "title": "t", "precedence": "cause", "cause": "c", "fix": "f", "source": "s"}


def broken(excerpt: dict[str, Any]) -> World:
    """Return a release with one excerpt in it."""
    world = World()
    pod = "vllm-0-1" if excerpt.get("role") == "worker" else "vllm-0"
    for name in ("vllm-0", "vllm-0-1"):
        world.log(name, "(Worker pid=81) INFO 11-26 10:59:00 [gpu_model_runner.py:1] Starting to load model")
    world.down(pod)
    if text := excerpt.get("log") or excerpt.get("ended"):
        world.log(pod, text, *([END] if "ended" in excerpt else []))
    elif "pending" in excerpt:
        world.pending(pod, excerpt["pending"])
    elif event := excerpt.get("event"):
        if event["kind"] == "LeaderWorkerSet":
            pass
        elif event["kind"] == "StatefulSet":
            world.remove("vllm-0", "vllm-0-1")
        else:
            world.main(pod)["state"] = {"waiting": {"reason": "ContainerCreating"}}
        world.event(event["kind"], pod if event["kind"] == "Pod" else "vllm", event["reason"], event["message"])
    elif state := next((word for word in ("waiting", "terminated") if word in excerpt), None):
        world.state(pod, state, **{"finishedAt": stamp(30), **excerpt[state]})
    else:
        for entry in excerpt["pod"].pop("conditions", []):
            world.set_condition(pod, condition(entry["type"], entry["status"]) | entry)
        world.pod(pod)["status"].update(excerpt["pod"])
    return world


def titled(excerpt: dict[str, Any]) -> str:
    return str(excerpt["id"])


@pytest.mark.parametrize(
    "excerpt", [one for one in EXCERPTS if BY_ID[one["id"]].precedence is not Precedence.NOTE], ids=titled
)
def test_signature_is_the_verdict_when_its_words_appear(excerpt: dict[str, Any]) -> None:
    world = broken(excerpt)
    found = world.say()
    assert found.state is GroupHealth.FAILED
    verdict = found.findings[0]
    assert (verdict.id, verdict.severity) == (excerpt["id"], Severity.CAUSE), found.findings
    assert verdict.fix
    assert "$" not in verdict.text + verdict.fix + verdict.why
    assert verdict.evidence[0].line


@pytest.mark.parametrize(
    "excerpt", [one for one in EXCERPTS if BY_ID[one["id"]].precedence is Precedence.NOTE], ids=titled
)
def test_note_is_never_a_verdict(excerpt: dict[str, Any]) -> None:
    found = broken(excerpt).say()
    assert found.state is GroupHealth.STARTING
    assert [(item.id, item.severity) for item in found.findings] == [(excerpt["id"], Severity.NOTE)]


def test_every_signature_has_words_or_a_scenario() -> None:
    from unit import test_doctor_scenarios as scenarios

    tested = {item["id"] for item in EXCERPTS} | scenarios.VERDICTS
    assert {item.id for item in BY_ID.values()} - tested == set()
    assert {item["id"] for item in EXCERPTS} - set(BY_ID) == set()


def test_every_excerpt_says_where_its_words_are_from() -> None:
    assert [item["id"] for item in EXCERPTS if not item.get("source")] == []


def test_healthy_release_matches_nothing() -> None:
    found = World(groups=2).say()
    assert (found.state, found.findings) == (GroupHealth.SERVING, [])


@pytest.mark.parametrize("line", UP)
def test_line_of_a_healthy_log_is_never_a_verdict_when_the_release_is_still_starting(line: str) -> None:
    world = World()
    world.log("vllm-0", line)
    world.log("vllm-0-1", line)
    world.down("vllm-0")
    assert [item for item in world.say().findings if item.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("file", sorted(HERE.joinpath("logs").glob("*.log")), ids=lambda one: one.stem)
def test_recorded_log_of_a_start_that_failed_has_its_verdict(file: Path) -> None:
    world = World()
    ill, other = ("vllm-0-1", "vllm-0") if file.stem == "rendezvous-refused" else ("vllm-0", "vllm-0-1")
    world.down(ill)
    world.log(ill, file.read_text(encoding="utf-8"), END)
    world.log(other, UP[0])
    found = world.say().findings
    assert found[0].id == file.stem
    assert [item.severity for item in found].count(Severity.CAUSE) == 1


@pytest.mark.parametrize(
    "file", sorted((CHECKOUT / "tests/unit/planning_data/logs").glob("*.log")), ids=lambda one: one.stem
)
def test_recorded_log_of_a_start_that_went_well_has_no_verdict(file: Path) -> None:
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", file.read_text(encoding="utf-8"))
    world.log("vllm-0-1", UP[0])
    assert [item for item in world.say().findings if item.severity is not Severity.NOTE] == []


def test_probes_that_fail_during_a_start_are_not_a_finding() -> None:
    world = World()
    world.log("vllm-0", UP[0])
    world.down("vllm-0")
    said = (
        'Startup probe failed: Get "http://10.0.0.7:8080/health": dial tcp 10.0.0.7:8080: connect: connection refused'
    )
    world.event("Pod", "vllm-0", "Unhealthy", said)
    world.event("Pod", "vllm-0-1", "Unhealthy", "Startup probe failed: the leader at 10.0.0.7 listens neither on 29501")
    assert world.say().state is GroupHealth.STARTING


def test_sections_of_signatures_are_in_the_guide() -> None:
    guide = (CHECKOUT / "docs" / "failures.md").read_text(encoding="utf-8")
    assert [item.id for item in BY_ID.values() if item.section and f"\n### {item.section}. " not in guide] == []


def test_reports_of_the_guide_are_in_the_table() -> None:
    text = TABLE.read_text(encoding="utf-8")
    reports = ("vllm#32136", "vllm#52907", "vllm#53894", "vllm#44718", "vllm#30281", "vllm#43420", "vllm#45078")
    more = ("vllm#39863", "vllm#33445", "vllm#15687", "vllm#12292", "vllm#7074", "vllm#54002")
    assert [name for name in (*reports, *more) if name not in text] == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"id": "a"}, "a: missing keys"),
        ({**ENTRY, "evidence": [{"in": "log", "text": "("}]}, "a: "),
        ({**ENTRY, "evidence": [{"in": "logs", "text": "x"}]}, "searched in"),
        ({**ENTRY, "evidence": [{"in": "log", "text": "x", "role": "head"}]}, "role head"),
        ({**ENTRY, "evidence": [], "precedence": "worst"}, "worst"),
        ({**ENTRY, "evidence": [], "sektion": 1}, "unknown keys"),
    ],
)
def test_entry_is_refused_when_it_can_not_be_read(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        signatures([entry])


def test_table_is_refused_when_two_entries_have_one_id() -> None:
    entry = {**ENTRY, "evidence": [{"in": "log", "text": "x"}]}
    with pytest.raises(SignatureError, match="two entries have this id"):
        signatures([entry, entry])
