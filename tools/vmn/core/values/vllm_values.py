"""What vLLM has against the words that a flag gets: what its parser can't read, and what its configuration refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.values.schema import nearest
from vmn.core.values.vllm_interface import Flag
from vmn.core.values.vllm_shapes import Mismatch, Shapes, number_of
from vmn.core.values.vllm_words import is_taken_for_a_flag, size_of, words_of

LORA_KEYS = ("name", "path", "base_model_name", "is_3d_lora_weight", "load_inplace", "pinned")
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
_SUFFIXED = re.compile(r"\b\d+(?:\.\d+)?[kKmMgGtT]\b")


def wrong_values(value: object, flag: Flag, shapes: Shapes) -> Iterator[Mismatch]:
    """Yield what is wrong with a value of ``engine.args``; its paths are those inside JSON."""
    if isinstance(value, bool):
        yield from _of_boolean(value, flag)
        return
    if flag.is_boolean:
        fix = "Write true or false, without quotes." if flag.type == "boolean" else "Write true, or remove it."
        yield Mismatch((), value, "takes no value", fix)
        return
    items = value if isinstance(value, list) else [value]
    if len(items) > 1 and not flag.takes_list:
        yield Mismatch((), value, f"takes one value, and not {len(items)}", f"Give it {flag.wanted}.")
        return
    for item in items:
        yield from _of_item(item, flag, shapes)


def _of_boolean(value: bool, flag: Flag) -> Iterator[Mismatch]:
    if not flag.is_boolean and not (value and flag.values == "?"):
        yield Mismatch((), value, "needs a value", f"Give it {flag.wanted}.")
    elif flag.type == "switch" and not value:
        yield Mismatch((), value, "has no negative form", "Use null, which leaves it out.")


def _of_item(item: object, flag: Flag, shapes: Shapes) -> Iterator[Mismatch]:
    (word,) = words_of([item])
    if flag.optional and word in ("", "None"):
        if flag.takes_list and any(shapes.mismatches(None, flag.shape)):
            yield Mismatch((), item, "stands for no value, which no item of a list may be", "Remove it.")
        return
    if is_taken_for_a_flag(word):
        reason = "begins with a dash, so that vLLM takes it for another flag"
        yield Mismatch((), item, reason, "Write it without the dash.")
    elif flag.is_json:
        yield from _of_json(word, item, flag, shapes)
    elif wrong := _unread(word, item, flag):
        yield wrong
    elif flag.shape:
        yield from _of_shape(word, item, flag, shapes)
    elif flag.registered and word not in (*flag.registered, "") and word.lower() != "none":
        yield _not_registered(word, item, flag)


def _unread(word: str, item: object, flag: Flag) -> Mismatch | None:
    """Return what is wrong with a word that the parser can't read, or that is none of the flag's choices."""
    if not _is_read(word, flag):
        return Mismatch((), item, f"is not {flag.wanted}", f"Give it {flag.wanted}.")
    if not flag.choices or _as_choice(word, flag) in flag.choices:
        return None
    near = nearest(word, flag.choices)
    fix = f"Write {near}." if near else f"Use {flag.wanted}."
    return Mismatch((), item, f"is not one of the values that --{flag.name} takes", fix)


def _as_choice(word: str, flag: Flag) -> str:
    if flag.type == "integer":
        return str(int(word))
    return word.lower().replace("-", "_") if flag.type == "folded" else word


def _is_read(word: str, flag: Flag) -> bool:
    """Return whether the parser can read a word as the flag's type."""
    match flag.type:
        case "integer":
            return _is_integer(word)
        case "number":
            return number_of(word) is not None
        case "size":
            return size_of(word) is not None
        case "size-or-auto":
            return size_of(word) is not None or word.strip().lower() == "auto"
        case "lora":
            return not word or ("=" in word and "," not in word) or _is_lora(word)
        case _:
            return True


def _is_integer(word: str) -> bool:
    try:
        int(word)
    except ValueError:
        return False
    return True


def _is_lora(word: str) -> bool:
    try:
        read = json.loads(word)
    except ValueError:
        return False
    return isinstance(read, Mapping) and {"name", "path"} <= set(read) <= set(LORA_KEYS)


def _of_json(word: str, item: object, flag: Flag, shapes: Shapes) -> Iterator[Mismatch]:
    if flag.type == "json-or-text" and not re.fullmatch(r"(?s)\s*{.*}\s*", word):
        read: Any = word
    else:
        try:
            read = json.loads(_expanded(word) if flag.type == "config" else word)
        except ValueError as error:
            yield Mismatch((), item, f"is not JSON: {error}", f"Give it {flag.wanted}, or write it as a map.")
            return
    if flag.hyphens and isinstance(read, Mapping):
        read = {name.replace("-", "_"): inner for name, inner in read.items()}
    if flag.shape and not (read is None and flag.type == "json"):  # which leaves vLLM's default
        yield from shapes.mismatches(read, flag.shape)


def _expanded(word: str) -> str:
    """Return JSON after vLLM has written numbers such as 80m out (``_expand_json_human_readable_numbers`` of 0.33)."""
    parts = _QUOTED.split(word)
    return "".join(
        part if index % 2 else _SUFFIXED.sub(lambda found: str(size_of(found[0])), part)
        for index, part in enumerate(parts)
    )


def _of_shape(word: str, item: object, flag: Flag, shapes: Shapes) -> Iterator[Mismatch]:
    """Yield what a configuration class has against a word, which it gets as a number if the parser reads one."""
    read: object = size_of(word) if flag.type.startswith("size") else word
    as_number = [int(word)] if flag.type == "text" and _is_integer(word) else []
    found = [list(shapes.mismatches(one, flag.shape)) for one in (read, *as_number)]
    if all(found):
        yield from (Mismatch((), item, one.reason, one.fix) for one in found[0])


def _not_registered(word: str, item: object, flag: Flag) -> Mismatch:
    near = nearest(word, flag.registered)
    plugin = f"{flag.name.removesuffix('-parser').removesuffix('-call')}-parser-plugin"
    fix = f"Write {near}." if near else f"The names are {', '.join(flag.registered[:20])}, …; {plugin} adds others."
    return Mismatch((), item, f"is not a name that vLLM registers for --{flag.name}", fix)
