"""The comparison with other planners: its record, its table and today's planner agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comparison.compare import PLANNERS
from comparison.table import QUESTIONS, Question, recorded, table
from unit.planning_data.table import REGISTRY

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/planner.md").read_text(encoding="utf-8")
FOLDER = ROOT / "benchmarks/comparison"


def test_document_has_the_record_and_what_vmn_says_today() -> None:
    inside = DOCUMENT.partition("<!-- comparison: ")[2].partition("-->")[2].partition("<!-- end of comparison -->")[0]
    assert inside.strip() == table(recorded())


def test_record_is_of_the_pinned_planners() -> None:
    assert recorded()["planners"] == {name: planner.version for name, planner in PLANNERS.items()}


@pytest.mark.parametrize("name", PLANNERS)
def test_planner_is_pinned_and_has_its_script(name: str) -> None:
    planner = PLANNERS[name]
    assert all("==" in package for package in planner.packages)
    assert bool(planner.repository) == (len(planner.commit) == 40)
    assert planner.commit.startswith(planner.version) or any(
        package.endswith(f"=={planner.version}") for package in planner.packages
    )
    assert (FOLDER / planner.script).is_file()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_record_is_of_the_question_as_it_is_asked_today(question: Question) -> None:
    assert recorded()["questions"][question.name] == question.options


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_planner_answered_or_said_why_not(question: Question) -> None:
    answers = recorded()["answers"][question.name]
    assert list(answers) == list(PLANNERS)
    assert all(answer.get("refused") or answer["tokens"] > 0 for answer in answers.values())


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_planners_are_told_as_many_parameters_as_the_model_has(question: Question) -> None:
    entry = json.loads((REGISTRY / f"{question.model}.json").read_text(encoding="utf-8"))
    assert question.parameters == entry.get("parameters", question.parameters)
    measured = question.measured.weights_gib
    assert measured is not None
    assert question.parameters * 2 / 2**30 / question.point.layout.gpus == pytest.approx(measured, rel=0.01)


def test_texts_name_no_place_of_a_machine() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.is_file()]
    assert [word for word in ("/work", "/tmp", "/root", "/home") if any(word in text for text in texts)] == []
