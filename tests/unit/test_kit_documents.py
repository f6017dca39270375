"""Reading Markdown: blocks, commands, links, headings and names of values."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.documents.kubectl import Options
from kit.documents.markdown import anchors, blocks, commands, dotted_names, links


def test_blocks_returns_language_line_and_text(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("text\n\n```bash\nmake test\n```\n\n```\nx\n```\n")
    assert [(block.language, block.line, block.text) for block in blocks(file)] == [
        ("bash", 3, "make test\n"),
        ("", 7, "x\n"),
    ]


def test_script_has_no_prompts_when_the_block_is_a_console(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("```console\n$ make test\n# make lint\n```\n```bash\n# a comment\n```\n")
    assert [block.script() for block in blocks(file)] == ["make test\nmake lint\n", "# a comment\n"]


def test_blocks_raises_when_one_does_not_end(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("```bash\nmake test\n")
    with pytest.raises(ValueError, match=r"a\.md:1"):
        blocks(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("make test   # everything\n", [["make", "test"]]),
        ("# only a comment\n\n", []),
        ("mkdir -p /a && chown 1:1 /a\n", [["mkdir", "-p", "/a"], ["chown", "1:1", "/a"]]),
        ("a b \\\n  c\nd\n", [["a", "b", "c"], ["d"]]),
        ("a -d '{\n  \"b\": 1}'\n", [["a", "-d", '{\n  "b": 1}']]),
        ("a | b > c.yaml; d &\n", [["a"], ["b"], ["d"]]),
        ('eval "$(make -s env)"\n', [["eval", "$(make -s env)"]]),
        ("get -o jsonpath='{.data.a}' | wc -c\n", [["get", "-o", "jsonpath={.data.a}"], ["wc", "-c"]]),
    ],
)
def test_commands_returns_words_without_what_the_shell_does(text: str, expected: list[list[str]]) -> None:
    assert commands(text) == expected


@pytest.mark.parametrize("text", ["echo 'a\n", "cat <<EOF\na\nEOF\n"])
def test_commands_raises_when_it_can_not_tell(text: str) -> None:
    with pytest.raises(ValueError, match=r"quotes|here-document"):
        commands(text)


def test_links_leaves_out_other_sites_and_code() -> None:
    text = "[a](b.md#c) [d](https://e.example/f)\n```\n[x](y.md)\n```\n[g](#h)\n"
    assert links(text) == ["b.md#c", "#h"]


def test_anchors_are_githubs() -> None:
    text = '# Two words\n### 1. `no kind "X"`, … or 127.0.0.1\n```\n# no heading\n```\n'
    assert anchors(text) == {"two-words", "1-no-kind-x--or-127001"}


def test_dotted_names_finds_keys_with_and_without_a_value() -> None:
    text = "`group.nodes`, `image.tag: v1`, `--set a.b=1`, `a b.c`, `plain`, `/x.y`\n```\n`not.here`\n```\n"
    assert dotted_names(text) == {"group.nodes", "image.tag", "a.b"}


def test_options_takes_values_flags_and_words_apart() -> None:
    options = Options(["pod", "-c", "x", "--tail=5", "-f", "--", "-l"], without_value=["-f"])
    assert (options.words, dict(options)) == (["pod", "-l"], {"-c": ["x"], "--tail": ["5"], "-f": [""]})
    assert (options.first("--container", "-c"), options.first("-n")) == ("x", "")
