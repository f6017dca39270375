"""Ask other planners the questions of ``table.py``, record what they say in ``results.json``, and print the table.

Usage: ``PYTHONPATH=tools:benchmarks python -m comparison.compare [--source NAME=DIRECTORY]``; see README.md beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from comparison.table import QUESTIONS, RESULTS, table

HERE = Path(__file__).parent
SECONDS = 900


@dataclass(frozen=True)
class Planner:
    """A planner at one version.

    Attributes:
        version: for the table.
        script: of this directory, which asks it in its own environment.
        packages: from the package index, each at one version.
        repository: owner and name on GitHub, for what is on no package index. Installed without its dependencies:
            what the questions need of them is in ``packages``.
        commit: of the repository.
    """

    version: str
    script: str
    packages: tuple[str, ...]
    repository: str = ""
    commit: str = ""

    def installs(self, source: Path | None) -> list[list[str]]:
        """Return what pip is told, from GitHub or from a copy of the repository that is already here."""
        told = [list(self.packages)]
        if self.repository:
            place = source.resolve().as_uri() if source else f"https://github.com/{self.repository}"
            told.append(["--no-deps", f"git+{place}@{self.commit}"])
        return told


PLANNERS = {
    "aiconfigurator": Planner("0.12.0", "ask_aiconfigurator.py", ("aiconfigurator-core==0.12.0",)),
    "llm-d planner": Planner(
        "e50305a",
        "ask_llm_d_planner.py",
        ("transformers==5.24.0", "huggingface_hub==2.4.0"),
        "llm-d-incubation/llm-d-planner",
        "e50305af90f0812e77e1827f3bc740fe75b76370",
    ),
    "kvfit": Planner("0.3.0", "ask_kvfit.py", ("kvfit==0.3.0",)),
}


def ask(planner: Planner, source: Path | None) -> list[dict[str, Any]]:
    """Return a planner's answers, from an environment that is made for it and thrown away."""
    questions = [{"name": asked.name, "config": asked.config, "options": asked.options} for asked in QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        python = str(Path(folder, "bin/python"))
        for told in planner.installs(source):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *told], check=True, timeout=SECONDS)
        said = subprocess.run(
            [python, str(HERE / planner.script)],
            input=json.dumps(questions),
            env={**_without_own_paths(os.environ), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=SECONDS,
        )
    answers: list[dict[str, Any]] = json.loads(said.stdout)
    return answers


def _without_own_paths(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "PYTHONPATH"}


def compare(sources: Mapping[str, Path]) -> dict[str, Any]:
    """Ask every planner, and return what is recorded."""
    said = {name: ask(planner, sources.get(name)) for name, planner in PLANNERS.items()}
    return {
        "date": date.today().isoformat(),
        "planners": {name: planner.version for name, planner in PLANNERS.items()},
        "questions": {question.name: question.options for question in QUESTIONS},
        "answers": {
            question.name: {name: answers[number] for name, answers in said.items()}
            for number, question in enumerate(QUESTIONS)
        },
    }


def _source(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if name not in PLANNERS or not PLANNERS[name].repository or not Path(folder).is_dir():
        known = ", ".join(name for name, planner in PLANNERS.items() if planner.repository)
        raise argparse.ArgumentTypeError(f"NAME=DIRECTORY: a git repository, and a name of {known}")
    return name, Path(folder)


def main() -> None:
    """Ask, record and print."""
    parser = argparse.ArgumentParser(description="Ask other planners the questions of table.py.")
    parser.add_argument(
        "--source",
        type=_source,
        action="append",
        default=[],
        metavar="NAME=DIRECTORY",
        help="a planner's git repository on this machine, instead of GitHub",
    )
    results = compare(dict(parser.parse_args().source))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
