"""The words of the command line that the chart makes of ``engine.args`` (``vllm-multinode.flags`` in its templates)."""

from __future__ import annotations

import json
from collections.abc import Sequence


def words_of(value: object) -> Sequence[str]:
    """Return the words after a flag: none for true and false, one for each item of a list."""
    if isinstance(value, bool) or value is None:
        return []
    return [word_of(item) for item in value] if isinstance(value, list) else [word_of(value)]


def word_of(value: object) -> str:
    """Return a value as one word: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(_as_helm_reads(value))


def _as_helm_reads(value: object) -> object:
    """Return a value as Helm has it after reading YAML: 4.0 is 4."""
    if isinstance(value, dict):
        return {key: _as_helm_reads(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_helm_reads(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def is_taken_for_a_flag(word: str) -> bool:
    """Return whether the parser takes a word for a flag, where a value should be.

    Python's argparse does so with every word that begins with a dash, unless it has a space or is a negative number;
    vLLM's own parser also takes -0.5 for one, as it has a dot (``FlexibleArgumentParser.parse_args`` of 0.33).
    """
    is_integer = word[1:].isdigit()
    has_dot = "." in word.split("=", 1)[0]
    return len(word) > 1 and word.startswith("-") and not is_integer and (has_dot or " " not in word)


def value_of_key(word: str) -> object:
    """Return what ``--flag.key WORD`` puts under the key: JSON where the word is JSON, 80000 for 80k, else a text."""
    try:
        return json.loads(word)
    except ValueError:
        size = size_of(word)
        return word if size is None else size


def size_of(word: str) -> int | None:
    """Return an integer as vLLM reads some of them: 8k is 8000, 8K is 8192, 25.6k is 25600; None if it is not one.

    Source: ``human_readable_int`` of vLLM's utils/argparse_utils.py, 0.33.
    """
    text = word.strip()
    number, suffix = text[:-1], text[-1:]
    decimal, binary = "kmgt".find(suffix), "KMGT".find(suffix)
    try:
        if suffix and decimal >= 0 and number[:1].isdigit() and number[-1:].isdigit():
            return int(float(number) * 1000 ** (decimal + 1))
        if suffix and binary >= 0 and number.isdigit():
            return int(number) * int(1024 ** (binary + 1))
        return int(text)
    except ValueError:
        return None
