"""Rules for all commands that documents show; a command that no rule covers is an error."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from click.testing import CliRunner

from kit.documents.kubectl import Options, check_kubectl
from kit.documents.markdown import commands
from kit.documents.release import RELEASE, release, service_ports
from kit.paths import CHART, CHECKOUT, MAIN_PRESETS
from kit.render import helm_template
from localcluster.__main__ import main as localcluster
from vmn.cli import main as vmn

OWN_VALUES = "my-values.yaml"
"""How documents call the reader's own file."""
UNCHECKED: Mapping[str, str] = {
    **dict.fromkeys(("base64", "wc", "grep"), "filters: what they get is checked"),
    **dict.fromkeys(("mkdir", "chown"), "preparing a node, which no rendering shows"),
    "export": "the reader's own environment",
}
"""Programs that nothing here can check, each with the reason why that is all right."""


def check_commands(text: str) -> None:
    """Check every command of a shell text, run in the checkout, with helm on PATH."""
    for words in commands(text):
        while re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        name = Path(words[0]).name
        if name not in UNCHECKED:
            assert name in RULES, f"no rule covers {name}: add one, or show another command"
            RULES[name](words[1:])


def check_helm(words: Sequence[str]) -> None:
    """Render what would be installed; else check the release's name."""
    verb, *rest = words
    options = Options(rest)
    if verb in {"test", "uninstall"}:
        assert options.words == [RELEASE]
        hooks = [one["metadata"].get("annotations", {}).get("helm.sh/hook") for one in release()]
        assert verb != "test" or "test" in hooks, "the chart has no test"
        return
    assert verb in {"install", "upgrade", "template"}, f"no rule covers helm {verb}"
    name, chart = options.words
    assert CHECKOUT / chart == CHART, f"{chart} is not the chart"
    if "--reset-then-reuse-values" in options:
        assert (verb, name) == ("upgrade", RELEASE), "there are no values to use again"
        return
    files = [file for option in ("-f", "--values") for file in options.get(option, []) if file != OWN_VALUES]
    given = [option for file in files for option in ("--values", str(CHECKOUT / file))]
    given += [option for value in options.get("--set", []) for option in ("--set", value)]
    helm_template(CHART, given, "{}", release=name, namespace="default", helm="helm")


def check_curl(words: Sequence[str]) -> None:
    """Check address and body against the Service and the presets."""
    url = next(word for word in words if "://" in word)
    match = re.fullmatch(r"http://localhost:(\d+)/v1/(models|completions)", url)
    assert match, f"no rule covers {url}"
    assert int(match[1]) in service_ports(), f"the Service has {service_ports()}"
    if "-d" in words:
        served = {yaml.safe_load(file.read_text(encoding="utf-8"))["model"]["name"] for file in MAIN_PRESETS}
        assert json.loads(words[words.index("-d") + 1])["model"] in served, f"the presets serve {served}"


def check_make(words: Sequence[str]) -> None:
    """Check that the targets are there."""
    known = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {word for word in words if not word.startswith("-") and "=" not in word}
    assert wanted <= known, f"make has {sorted(known)}"


def check_vmn(words: Sequence[str]) -> None:
    """Run vmn itself; what needs a cluster only prints what it would do, or is only parsed."""
    words = without_own_values(words)
    if words[0] in {"preflight", "doctor", "bench", "tune"}:
        vmn.commands[words[0]].make_context(words[0], list(words[1:]))
        return
    dry = ["--dry-run"] if words[0] == "install-test" else []
    result = CliRunner().invoke(vmn, [*words, *dry])
    assert result.exit_code == 0, result.output


def without_own_values(words: Sequence[str]) -> list[str]:
    """Return the words without the options that name the reader's own values file, which is not there."""
    return [
        word
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False)
        if not (word == OWN_VALUES and before == "-f") and not (word == "-f" and after == OWN_VALUES)
    ]


def check_localcluster(words: Sequence[str]) -> None:
    """Check the subcommand."""
    assert words[0] == "--help" or words[0] in localcluster.commands, f"there are {sorted(localcluster.commands)}"


def check_python(words: Sequence[str]) -> None:
    """Check that the module or the file is there."""
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"no module {words[1]}"
    else:
        assert (CHECKOUT / words[0]).is_file(), f"no file {words[0]}"


def check_kind(words: Sequence[str]) -> None:
    """Check the subcommand."""
    assert list(words[:2]) in (["create", "cluster"], ["load", "image-archive"]), f"no rule covers kind {words[:2]}"


def check_eval(words: Sequence[str]) -> None:
    """Check the command whose output is evaluated."""
    inner = re.fullmatch(r"\$\((.*)\)", words[0])
    assert inner, "eval of something else than a command"
    check_commands(inner[1])


def check_alias(words: Sequence[str]) -> None:
    """Check what an alias stands for."""
    _, _, command = words[0].partition("=")
    check_commands(command)


RULES: Mapping[str, Callable[[Sequence[str]], None]] = {
    "alias": check_alias,
    "curl": check_curl,
    "eval": check_eval,
    "helm": check_helm,
    "kind": check_kind,
    "kubectl": check_kubectl,
    "localcluster": check_localcluster,
    "make": check_make,
    "python": check_python,
    "python3": check_python,
    "vmn": check_vmn,
}
