"""What vLLM says to the command lines of its recipes, and to each of them with one word changed.

``PYTHONPATH=tools:tests python -m unit.vllm_data.verdicts 0.33 --sources FOLDER`` asks vLLM and writes the files of a
version again; the sources of another version than the engine's run with the packages of the engine's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kit.servelines import words_of_line
from localcluster import engine
from unit.vllm_data import samples
from unit.vllm_data.mutations import mutations
from vmn.adapters.vllm_interface import load_interface
from vmn.core.values.vllm_interface import Interface

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "engine" / "parse_arguments.py"
SHOWN = 90
"""Characters of a message that are kept."""
LIMIT = 600
"""Seconds; importing vLLM takes about 15, and 20000 lines 40; more on a busy machine."""


@dataclass(frozen=True)
class Line:
    """A command line of a recipe, and the file that it is from."""

    source: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What vLLM says to a line.

    Attributes:
        words: the words of the line.
        changed: the position of the word that differs from the recipe, -1 when none does.
        message: the beginning of vLLM's message, None when it accepts the line.
    """

    words: tuple[str, ...]
    changed: int
    message: str | None


def recipes() -> list[Line]:
    """Return the command lines of the recipes."""
    content = yaml.safe_load((HERE / "recipes.yaml").read_text(encoding="utf-8"))
    return [Line(one["source"], tuple(words_of_line(one["line"]))) for one in content["lines"]]


def changed_lines(lines: Sequence[Line]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield each line with one word changed: its number, the position of the word, and the words.

    A change that an earlier line has at the same flag is left out.
    """
    seen = set()
    for number, line in enumerate(lines):
        for words in mutations(line.words):
            position = next(at for at, word in enumerate(words) if word != line.words[at])
            flag = next((word for word in reversed(line.words[:position]) if word.startswith("-")), "")
            change = (flag if not words[position].startswith("--") else "", words[position])
            if change not in seen:
                seen.add(change)
                yield number, position, words


def verdicts(version: str) -> list[Verdict]:
    """Return what a version said."""
    content = json.loads((HERE / f"verdicts-{version}.json").read_text(encoding="utf-8"))
    lines = recipes()
    found = [Verdict(line.words, -1, message) for line, message in zip(lines, content["lines"], strict=True)]
    for number, position, word, message in content["changes"]:
        words = lines[number].words
        found.append(Verdict((*words[:position], word, *words[position + 1 :]), position, message))
    return found


def written(said: Mapping[str, str | None]) -> str:
    """Return the file of what a version said, by the keys of ``asked``."""
    lines = recipes()
    kept = {key: message and " ".join(message.split())[:SHOWN] for key, message in said.items()}
    own = ",\n".join(f"  {json.dumps(kept[str(number)])}" for number in range(len(lines)))
    changes = ",\n".join(
        "  " + json.dumps([number, position, words[position], kept[f"{number} {position} {words[position]}"]])
        for number, position, words in changed_lines(lines)
    )
    return f'{{\n"lines": [\n{own}\n],\n"changes": [\n{changes}\n]\n}}\n'


def asked() -> dict[str, list[str]]:
    """Return all lines as ``vllm`` gets them."""
    lines = recipes()
    found = {str(number): given(line.words) for number, line in enumerate(lines)}
    for number, position, words in changed_lines(lines):
        found[f"{number} {position} {words[position]}"] = given(words)
    return found


def taken_samples(version: str) -> Mapping[str, str]:
    """Return, for each flag and key of ``samples``, a digit for each value: 1 where vLLM takes it."""
    found: Mapping[str, str] = json.loads((HERE / f"samples-{version}.json").read_text(encoding="utf-8"))
    return found


def asked_samples(interface: Interface) -> dict[str, list[str]]:
    """Return the lines of ``samples``, by the flag or key and the number of the value."""
    return {
        f"{name} {number}": samples.words(args, interface)
        for name, entries in samples.cases(interface)
        for number, args in enumerate(entries)
    }


def written_samples(said: Mapping[str, str | None], interface: Interface) -> str:
    """Return the file of what a version said to ``samples``."""
    digits = {
        name: "".join("0" if said[f"{name} {number}"] else "1" for number in range(len(entries)))
        for name, entries in samples.cases(interface)
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(digits[name])}" for name in digits)
    return f"{{\n{lines}\n}}\n"


def given(line: Sequence[str]) -> list[str]:
    """Return the words after ``vllm``."""
    return list(line[list(line).index("serve") :])


def answered(lines: Mapping[str, list[str]], sources: Path | None) -> dict[str, str | None]:
    """Return what vLLM's own code says to command lines (``tests/engine/parse_arguments.py``).

    Args:
        lines: words after ``vllm``, by a name.
        sources: folder with the package vllm of another version than the engine's, and what it imports in addition.

    Raises:
        HostError: vLLM can't be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "cases.json").write_text(json.dumps(lines), encoding="utf-8")
        mounts = {"/cases": Path(folder), "/script": SCRIPT.parent} | ({"/sources": sources} if sources else {})
        env = {"PYTHONPATH": "/sources"} if sources else {}
        command = ["python3", "-P", f"/script/{SCRIPT.name}", "/cases/cases.json"]
        said = engine.run_inside(command, env, mounts, timeout=LIMIT)
    answers: dict[str, str | None] = json.loads(said.splitlines()[-1])
    return answers


def main() -> None:
    """Ask vLLM, and write what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 0.33")
    parser.add_argument("--sources", type=Path, help="folder with the package vllm of another version")
    options = parser.parse_args()
    interface = load_interface(options.version)
    if not interface:
        raise SystemExit(f"no table of vLLM {options.version}")
    said = answered({**asked(), **asked_samples(interface)}, options.sources)
    (HERE / f"verdicts-{options.version}.json").write_text(written(said), encoding="utf-8")
    (HERE / f"samples-{options.version}.json").write_text(written_samples(said, interface), encoding="utf-8")


if __name__ == "__main__":
    main()
