"""Removing secrets from objects and logs before they are shared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

GONE = "[redacted]"
NAMED = re.compile(
    r"(?i)(token|secret|passw(or)?d|passphrase|credential|private_?key|api_?key|access_?key|authorization)"
)
"""Names of variables, keys, and flags whose values are secrets."""
HARMLESS = re.compile(
    r"(?i)^(max|min|num|n|total)_|tokens$|tokenizer|_(secret|token)_?(name|file|path)$|existingsecret"
)
"""Names that only look like secrets: counts of tokens, tokenizers, and references to secrets."""
SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),  # Hugging Face
    re.compile(r"\b(sk|pk|rk)-[A-Za-z0-9_-]{16,}"),  # OpenAI and similar services
    re.compile(r"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-)[A-Za-z0-9_-]{10,}"),  # GitHub, GitLab, Slack
    re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),  # AWS
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # JSON web tokens
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # a password in an address
    re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
)
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
ASSIGNED = re.compile(
    r"""(?ix) (?P<name> [\w-]* (?:token|secret|passw(?:or)?d|passphrase|credential|private[_-]?key|api[_-]?key
    |access[_-]?key) [\w-]* ) (?P<sign> ["']? \s* [=:] \s* | \s+ )
    (?P<value> \[[^\]]*\] | "[^"]*" | '[^']*' | [^\s,;}\])]+ )"""
)
"""``name=value``, ``"name": "value"``, ``--name value``."""
APPLIED = ("kubectl.kubernetes.io/last-applied-configuration", "meta.helm.sh/release-manifest")
"""Annotations that contain whole objects with their values."""


def text(content: str) -> str:
    """Return a text without the secrets that their form or the name before them reveals."""
    for pattern in SECRETS:
        content = pattern.sub(GONE, content)
    content = BEARER.sub(lambda found: f"{found[1]} {GONE}", content)
    return ASSIGNED.sub(_assigned, content)


def _assigned(found: re.Match[str]) -> str:
    name, sign, value = found["name"], found["sign"], found["value"]
    is_flag = name.startswith("--") or found.string[: found.start()].endswith("--")
    if is_harmless(name) or value.strip("\"'") in ("", "[]", "None", "null", "True", "False", "true", "false", GONE):
        return found[0]
    if not sign.strip() and not is_flag:  # part of a sentence, such as "the token is wrong"
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{sign}{quote}{GONE}{quote}"


def is_harmless(name: str) -> bool:
    """Return whether a name is not the name of a secret."""
    plain = name.lstrip("-").replace("-", "_")
    return NAMED.search(plain) is None or HARMLESS.search(plain) is not None


def item(content: Any, name: str = "") -> Any:
    """Return an object, or a part of one, without secrets.

    Args:
        content: content of the object.
        name: key of the content.
    """
    if isinstance(content, Mapping):
        return _mapping(content)
    if isinstance(content, str):
        return GONE if name and not is_harmless(name) and content else text(content)
    if isinstance(content, Sequence):
        return _flags([item(part) for part in content])
    return content


def _mapping(content: Mapping[str, Any]) -> dict[str, Any]:
    if content.get("kind") == "Secret":
        kept = {key: content[key] for key in ("apiVersion", "kind", "type") if key in content}
        return {**kept, "metadata": item(content.get("metadata") or {}), "data": GONE}
    if set(content) <= {"name", "value"} and isinstance(content.get("value"), str) and "name" in content:
        hidden = not is_harmless(str(content["name"]))
        return {"name": content["name"], "value": GONE if hidden else text(content["value"])}
    return {key: _value(key, part) for key, part in content.items() if key != "managedFields"}


def _value(key: str, part: Any) -> Any:
    if key in APPLIED:
        return GONE
    if isinstance(part, str) and part[:1] in "{[" and (inner := _json(part)) is not None:
        return json.dumps(item(inner, key))
    return item(part, key)


def _json(part: str) -> Any:
    try:
        return json.loads(part)
    except ValueError:
        return None


def _flags(parts: list[Any]) -> list[Any]:
    """Return arguments without the value after the flag of a secret."""
    found: list[Any] = []
    for part in parts:
        before = found[-1] if found and isinstance(found[-1], str) else ""
        secret = before.startswith("--") and "=" not in before and not is_harmless(before)
        found.append(GONE if secret and isinstance(part, str) and not part.startswith("-") else part)
    return found
