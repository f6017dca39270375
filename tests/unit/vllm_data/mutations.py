"""Command lines of ``vllm serve`` with one word changed, in every way that somebody may get it wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

Words = tuple[str, ...]


def mutations(words: Sequence[str]) -> Iterator[Words]:
    """Yield a line once for each change of each word after the model."""
    first = list(words).index("serve") + 2
    for index in range(first, len(words)):
        for changed in dict.fromkeys(changes(words[index])):
            if changed != words[index]:
                yield (*words[:index], changed, *words[index + 1 :])


def changes(word: str) -> Iterator[str]:
    """Yield what may stand for a word by mistake."""
    if re.match(r"--?[A-Za-z]", word):
        yield from _of_flag(word)
    elif word[:1] in "{[":
        yield from _of_json(word)
    elif re.fullmatch(r"-?\d+", word):
        yield from ("many", "1.5", "-1", "0", "1e3", "2k", "2.5K", f"{word}x", "1_000", "99999999")
    elif re.fullmatch(r"-?\d*\.\d+", word):
        yield from ("half", "-0.5", "0", "1.5", "90%", "2", "1e-1", "nan")
    else:
        yield from _of_text(word)


def _of_flag(word: str) -> Iterator[str]:
    name, equals, value = word.partition("=")
    base, dot, keys = name.partition(".")
    rest = f"{equals}{value}"
    yield f"{name}s{rest}"
    yield f"{name[:-2]}{name[-1]}{rest}"
    if not dot:
        yield f"--no-{base[2:]}{rest}"
        yield f"{base}.key{rest}"
    else:
        yield f"{base}.{keys.replace('_', '-')}{rest}"
        yield f"{base}x.{keys}{rest}"


def _of_text(word: str) -> Iterator[str]:
    yield from (f"{word}x", word[:-1], word.upper(), word.lower(), "7", "", "None", "true", '{"a": 1}')
    yield word.replace("_", "-") if "_" in word else word.replace("-", "_")


def _of_json(word: str) -> Iterator[str]:
    try:
        read = json.loads(word)
    except ValueError:
        return
    yield word[:-1]
    yield word.replace('"', "'")
    for changed in changed_values(read):
        yield json.dumps(changed)


def changed_values(value: Any) -> Iterator[Any]:
    """Yield a JSON value with one of its keys or leaves changed."""
    if isinstance(value, dict):
        yield {**value, "not_a_key": 1}
        for key, inner in value.items():
            others = {name: kept for name, kept in value.items() if name != key}
            yield {**others, key[:-1]: inner}
            yield {**others, key.replace("_", "-"): inner}
            yield from ({**value, key: changed} for changed in changed_values(inner))
    elif isinstance(value, list):
        yield "a"
        for index, item in enumerate(value[:2]):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in changed_values(item))
    elif isinstance(value, bool):
        yield from ("maybe", "on", 2, 1, None, [])
    elif isinstance(value, int | float):
        yield from ("many", str(value), -1, 0, 1.5, True, None, [value], {"a": 1})
    elif isinstance(value, str):
        yield from (f"{value}x", value.upper(), value.lower(), 7, "", None, [value])
