"""The words that the chart makes of ``engine.args`` are those that ``vmn validate`` judges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.render import render
from vmn.core.values.vllm_words import word_of, words_of

VALUES: tuple[Any, ...] = (
    *(7, -1, 0.95, 4.0, 1e-3, 163840, 10000000000, "8k", "a b", "", "None", "true", '{"a": 1}'),
    *([1, 2.0], ["a", "b c"], {"b": 1, "a": {"x": [True, None, 2.0, 0.5]}}, {"a": "<&>"}, [{"a": 1}]),
)


def rendered(args: dict[str, Any]) -> list[str]:
    """Return the arguments of the leader's container after those of the chart."""
    manifests = render({"model": {"name": "m"}, "group": {"nodes": 1}, "engine": {"args": args}})
    words: list[str] = manifests.templates()["leader"]["spec"]["containers"][0]["args"]
    start = next((at for at, word in enumerate(words) if word.startswith(("--x", "--no-x"))), len(words))
    return words[start:]


def test_words_are_those_of_the_chart() -> None:
    args = {f"x{number:02}": value for number, value in enumerate(VALUES)}
    expected = [word for name, value in args.items() for word in (f"--{name}", *words_of(value))]
    assert [decoded(word) for word in rendered(args)] == [decoded(word) for word in expected]


def decoded(word: str) -> Any:
    """Return a word, or what its JSON says: Helm sorts keys and escapes some characters."""
    return json.loads(word) if word.startswith(("{", "[")) else word


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x.on", True, ["--x.on", "true"]),
        ("x.on", False, ["--x.on", "false"]),
        ("x.a.b", 3, ["--x.a.b", "3"]),
        ("x.list", [1, 2], ["--x.list", "[1,2]"]),
        ("x.list+", [1, "b"], ["--x.list+", "1,b"]),
        ("x.list+", "a,b", ["--x.list+", "a,b"]),
        ("x.map", {"a": 1}, ["--x.map", '{"a":1}']),
        ("x.text", "a b", ["--x.text", "a b"]),
        ("x", False, ["--no-x"]),
        ("x", True, ["--x"]),
        ("x.unset", None, []),
    ],
)
def test_key_of_a_flag_gets_one_word(name: str, value: object, words: list[str]) -> None:
    assert rendered({name: value}) == words


def test_whole_numbers_lose_their_fraction() -> None:
    assert (word_of(4.0), word_of([1.0, 1.5])) == ("4", "[1, 1.5]")
