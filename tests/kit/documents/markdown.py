"""What stands in a Markdown file: code blocks, the commands in them, links, headings and names of values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.paths import CHECKOUT

_BREAKS = frozenset({"|", "||", "&", "&&", ";"})
_REDIRECTIONS = frozenset({">", ">>", "<"})


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    file: Path
    line: int
    language: str
    text: str

    def script(self) -> str:
        """Return a shell block's text without the prompts that ``console`` has."""
        return re.sub(r"^[$#] ", "", self.text, flags=re.MULTILINE) if self.language == "console" else self.text

    def __str__(self) -> str:
        """Say where it is."""
        return f"{self.file.relative_to(CHECKOUT)}:{self.line}"


def blocks(file: Path) -> list[Block]:
    """Return a file's code blocks.

    Raises:
        ValueError: a block does not end.
    """
    found: list[Block] = []
    start: tuple[int, str] | None = None
    body: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if start is None and line.startswith("```"):
            start, body = (number, line.strip("`").strip()), []
        elif start and line.startswith("```"):
            found.append(Block(file, start[0], start[1], "\n".join(body) + "\n"))
            start = None
        else:
            body.append(line)
    if start:
        raise ValueError(f"{file.name}:{start[0]}: a block that does not end")
    return found


def commands(text: str) -> list[list[str]]:
    """Return the simple commands of a shell text as words: without comments, redirections and pipes.

    Raises:
        ValueError: quotes that do not end, or a here-document.
    """
    if "<<" in text:
        raise ValueError("a here-document is not understood")
    found: list[list[str]] = []
    for line in _whole_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        found += _split(list(lexer))
    return found


def _whole_lines(text: str) -> Iterator[str]:
    """Yield lines, each with what belongs to it: after a backslash, or until its quotes end."""
    kept = ""
    for line in text.splitlines():
        kept = f"{kept}\n{line}" if kept else line
        if kept.endswith("\\"):
            kept = kept[:-1]
            continue
        try:
            words = shlex.split(kept, comments=True)
        except ValueError:
            continue
        if words:
            yield kept
        kept = ""
    if kept:
        raise ValueError(f"quotes that do not end: {kept[:80]}")


def _split(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _REDIRECTIONS:
            skip = True
        elif word in _BREAKS:
            if command:
                yield command
            command = []
        else:
            command.append(word)
    if command:
        yield command


def prose(text: str) -> str:
    """Return a text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Return the targets of links, without those to other sites."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)) if "://" not in target]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dotted_names(text: str) -> set[str]:
    """Return what looks like a value's key in inline code: ``group.nodes``, ``image.tag: v1``, ``--set a.b=1``."""
    found = set()
    for code in re.findall(r"`([^`\n]+)`", prose(text)):
        match = re.match(r"(?:--set )?([a-z][A-Za-z]*(?:\.[A-Za-z][\w-]*)+)(?=$|[:=])", code)
        if match:
            found.add(match[1])
    return found
