"""Values files: reading and merging them as Helm does, and naming their keys."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Loads
except ImportError:  # PyYAML was built without LibYAML, and reads several times as slowly
    from yaml import SafeLoader as _Loads  # type: ignore[assignment]

SafeLoader = _Loads
"""The fastest loader that is safe."""

Values = dict[str, object]


class ValuesError(Exception):
    """Text that can't be read as a values file; ``line`` counts from 1, or is 0 when unknown."""

    def __init__(self, reason: str, line: int = 0, key: str = "") -> None:
        """Keep the parts of the message."""
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.key = key


class _Loader(SafeLoader):
    """Reads scalars as Helm's parser does, and refuses a key that is given twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


_BOOL = re.compile(r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_INT = re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^(?:<<)$"), ["<"])


def _float(loader: SafeLoader, node: yaml.ScalarNode) -> float:
    text = node.value.lower().replace("_", "")
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _mapping(loader: SafeLoader, node: yaml.MappingNode) -> Values:
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        if key_node.tag.endswith(":merge"):
            continue
        key = _text(loader.construct_object(key_node, deep=True))
        line = key_node.start_mark.line + 1
        if key in seen:
            raise ValuesError(f"is given twice, in lines {seen[key]} and {line}", line, key)
        seen[key] = line
    loader.flatten_mapping(node)
    return {
        _text(loader.construct_object(key, deep=True)): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


def _text(key: Hashable) -> str:
    return str(key).lower() if isinstance(key, bool) or key is None else str(key)


_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse_yaml(text: str) -> object:
    """Return the one document in ``text``.

    Raises:
        ValuesError: the text is not YAML, has several documents, or gives a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ValuesError(f"is not valid YAML: {error.problem}", line) from error
    except yaml.YAMLError as error:
        raise ValuesError(f"is not valid YAML: {error}") from error


def documents(text: str) -> list[dict[str, Any]]:
    """Return the documents of a manifest that are not empty."""
    return [item for item in yaml.load_all(text, SafeLoader) if item]


def parse_values(text: str) -> Values:
    """Return the values in ``text``.

    Raises:
        ValuesError: as for ``parse_yaml``, or the document is not a map.
    """
    values = parse_yaml(text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValuesError("must be a map of values", 1)
    return values


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> Values:
    """Return ``base`` with ``over`` on top: maps are merged, other values replaced, and null removes a value."""
    result: Values = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if value is None and below is not None:
            del result[key]
        elif isinstance(value, Mapping):
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def effective(defaults: Mapping[str, object], values: Mapping[str, object]) -> Values:
    """Return the values that the chart's schema and templates get: Helm 4 drops the nulls of the chart's own file."""
    return merged(_without_nulls(defaults), values)


def _without_nulls(values: Mapping[str, object]) -> Values:
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def dotted(path: Iterable[str | int]) -> str:
    """Return a path such as ``engine.args`` or ``extraVolumes[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def sets(values: Mapping[str, object], key: str) -> bool:
    """Return whether values have something at a dotted key, or a list that the key is in; keys may have dots."""
    rests = [(inner, key.removeprefix(name)) for name, inner in values.items() if key.startswith(name)]
    return any(_reaches(inner, rest) for inner, rest in rests)


def _reaches(inner: object, rest: str) -> bool:
    """Return whether a value has what is left of a dotted key."""
    if not rest or (isinstance(inner, list) and rest[0] in ".["):
        return True
    return rest[0] == "." and isinstance(inner, Mapping) and sets(inner, rest[1:])


def leaves(values: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the path and the value of everything that is not a map with keys."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif path:
        yield path, values


def nested(path: Sequence[str], value: object) -> Values:
    """Return values with one leaf."""
    return {path[0]: value if len(path) == 1 else nested(path[1:], value)}
