"""What vLLM's configuration classes take, as JSON Schema, with one word more.

Pydantic writes the schema. It leaves out what validators of a class decide, so each field that has one is tried with a
sample of each kind of value and with the names of its enumeration. ``words`` are texts that are taken in any case.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import traceback
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit
from vllm.config import multimodal, quantization

Shape = dict[str, Any]
SAMPLES: Mapping[str, Any] = {
    "string": "not-a-known-word",
    "integer": 7,
    "number": 0.7,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}
PROSE = ("title", "description", "default", "examples", "deprecated", "format", "writeOnly", "discriminator")
HIDDEN = {("CompilationConfig", "compile_cache_save_format"): ("binary", "unpacked")}
"""Words that a validator compares a plain text with; they are tried, and left out when they no longer hold."""


ITEMS: Mapping[tuple[str, str], Shape] = {
    ("CompilationConfig", "custom_ops"): {"type": "string", "pattern": "^(all|none|[+-].+)$"},
    ("ParallelConfig", "numa_bind_cpus"): {"type": "string", "pattern": r"^\d+(-\d+)?(,\d+(-\d+)?)*$"},
    ("ParallelConfig", "numa_bind_nodes"): {"type": "integer", "minimum": 0},
}
"""What validators want of the items of a list."""
VLLMS_OWN = ("ModelConfig", "ParallelConfig")
"""Classes that vLLM puts into others itself, and that no flag has keys of."""


class _Lenient(GenerateJsonSchema):
    """Writes "anything" for what JSON Schema can't say, and leaves out what no JSON can be, such as a callable."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Shape:
        return {}

    def callable_schema(self, schema: Any) -> Shape:
        raise PydanticOmit

    def is_instance_schema(self, schema: Any) -> Shape:
        raise PydanticOmit

    def emit_warning(self, kind: Any, detail: str) -> None:
        pass


class ShapeReader:
    """The shapes met so far.

    Attributes:
        named: shapes of classes, by the class.
        doubts: fields whose validators refuse what their shape takes.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.named: dict[str, Shape] = {}
        self.doubts: list[str] = []

    def of_class(self, cls: Any) -> Shape:
        """Return a reference to the shape of a class, which is added with all that it contains."""
        if cls.__name__ not in self.named:
            self.named[cls.__name__] = {}
            written = _schema(cls)
            for name, inner in written.pop("$defs", {}).items():
                self.named.setdefault(name, inner)
            written = self.named.get(written["$ref"], written) if "$ref" in written else written
            self.named[cls.__name__] = self._tried(cls, written)
            for one in _classes_in(cls):
                self.named.pop(one.__name__, None)
                if one.__name__ in VLLMS_OWN:
                    self.named[one.__name__] = {}
                else:
                    self.of_class(one)
        return {"$ref": cls.__name__}

    def of_field(self, cls: Any, name: str) -> Shape:
        """Return the shape of one field of a class."""
        field = cls.__pydantic_fields__[name]
        written = _schema(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation)
        for inner, shape in written.pop("$defs", {}).items():
            self.named.setdefault(inner, shape)
        return self._tried_field(cls, name, written)

    def _tried(self, cls: Any, shape: Shape) -> Shape:
        """Return the shape of a class after each of its fields with validators was tried."""
        kept = {}
        for name, inner in shape.get("properties", {}).items():
            if not _errors(cls, name, SAMPLES["object"]) & {"unexpected_keyword_argument", "no_such_attribute"}:
                kept[name] = self._tried_field(cls, name, inner)
        return {**shape, "properties": kept} if "properties" in shape else shape

    def _tried_field(self, cls: Any, name: str, shape: Shape) -> Shape:
        if (cls.__name__, name) == ("MultiModalConfig", "limit_per_prompt"):
            return self._of_modalities()
        if (cls.__name__, name) in ITEMS:
            return {"type": "array", "items": ITEMS[cls.__name__, name]}
        if cls.__name__ in ("QuantSpec", "QuantizationConfigArgs"):
            shape = _with_names(name, shape)
        if not _has_validators(cls, name):
            return shape
        shape = {"anyOf": [self._listed(part) for part in _alternatives(shape)]}
        kinds = set(_kinds(shape))
        taken = {kind for kind, sample in SAMPLES.items() if not _errors(cls, name, sample)}
        if {"integer", "number"} & kinds:
            taken -= {"boolean"}  # which are 0 and 1 then
        more: list[Shape] = [{"type": kind} for kind in SAMPLES if kind in taken - kinds and kind != "number"]
        if "string" not in taken:
            shape, more = self._with_words(cls, name, shape, more)
        kept = [*_alternatives(shape), *more]
        return kept[0] if len(kept) == 1 else {"anyOf": kept}

    def _listed(self, part: Shape) -> Shape:
        """Return an enumeration itself in place of a reference to it."""
        one = self.named.get(part.get("$ref", ""), part)
        return one if "enum" in one else part

    def _with_words(self, cls: Any, name: str, shape: Shape, more: list[Shape]) -> tuple[Shape, list[Shape]]:
        """Return a shape, and what it takes too, for a field of which a validator refuses most texts."""
        candidates = _candidates(cls, name, shape)
        folded = [one for one in candidates if not any(_errors(cls, name, form) for form in (one.lower(), one.upper()))]
        if folded:
            words: Shape = {"words": sorted({one.lower(): one for one in folded}.values())}
            apart = [one for one in folded if "_" in one]
            if apart and not any(_errors(cls, name, one.replace("_", "-")) for one in apart):
                words["hyphens"] = True
            return {"anyOf": _without_texts(shape)}, [*more, words]
        exact = [one for one in candidates if not _errors(cls, name, one)]
        if exact:
            return {"anyOf": _without_texts(shape)}, [*more, {"enum": sorted(exact)}]
        if "string" in set(_kinds(shape)):
            self.doubts.append(f"{cls.__name__}.{name} refuses {SAMPLES['string']!r}, but takes texts")
        of_maps = [part for part in _alternatives(shape) if "$ref" in (part.get("additionalProperties") or ())]
        for part in of_maps:  # of an enumeration, whose names a validator reads
            members = _members(cls, name)
            if members and not _errors(cls, name, {"": members[0].lower()}) & {"enum"}:
                part["additionalProperties"] = {"words": members}
        return shape, more

    def _of_modalities(self) -> Shape:
        """Return the shape of limits: numbers, or options of a modality (the validator in config/multimodal.py)."""
        options = {}
        for name, one in (("video", "Video"), ("image", "Image"), ("audio", "Audio"), ("", "Base")):
            cls = getattr(multimodal, f"{one}DummyOptions")
            number = {"type": "integer", "strict": True, "minimum": 0}
            options[name] = {"anyOf": [number, self.of_class(cls)]}
        return {"type": "object", "additionalProperties": options.pop(""), "properties": options}


def _with_names(name: str, shape: Shape) -> Shape:
    """Return the shape of a field of online quantization with the names that config/quantization.py looks up."""
    keys = sorted(getattr(quantization, "QUANT_KEY_NAMES", ()))
    shorthands = sorted(getattr(quantization, "_ONLINE_SHORTHANDS", ()))
    match name:
        case "weight" | "activation" if keys:
            return {"anyOf": [{"enum": keys}, {"type": "null"}]}
        case "linear" | "moe":
            return {"anyOf": [*_alternatives(shape), {"enum": sorted({*keys, *shorthands})}]}
        case "targets":
            return {"anyOf": [{"type": "object", "additionalProperties": {"enum": shorthands}}, {"type": "null"}]}
    return shape


def _alternatives(shape: Shape) -> list[Shape]:
    return typing.cast("list[Shape]", shape.get("anyOf", [shape]))


def _schema(of: Any) -> Shape:
    for config in (None, ConfigDict(arbitrary_types_allowed=True)):
        with contextlib.suppress(PydanticUserError):
            adapter = TypeAdapter(of, config=config)
            return typing.cast("Shape", _pruned(adapter.json_schema(schema_generator=_Lenient, ref_template="{model}")))
    return {}


def _pruned(node: Any) -> Any:
    """Return a schema without prose; the keys of ``properties`` and ``$defs`` are names, not keywords."""
    if isinstance(node, list):
        return [_pruned(item) for item in node]
    if not isinstance(node, dict):
        return node
    names = ("properties", "$defs")
    kept = {key: inner for key, inner in node.items() if key not in PROSE}
    return {
        key: {name: _pruned(one) for name, one in inner.items()} if key in names else _pruned(inner)
        for key, inner in kept.items()
    }


def _classes_in(cls: Any) -> Iterator[Any]:
    """Yield the configuration classes that fields of a class take."""
    for field in cls.__pydantic_fields__.values():
        for one in _parts(field.annotation):
            if dataclasses.is_dataclass(one) and hasattr(one, "__pydantic_fields__"):
                yield one


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in typing.get_args(annotation):
        yield from _parts(inner)


def _has_validators(cls: Any, name: str) -> bool:
    fields = [field for one in _validators(cls).values() for field in one.info.fields]
    return name in fields or "*" in fields


@contextlib.contextmanager
def _as_fields_only(cls: Any) -> Iterator[None]:
    """Leave out what a class does once its fields are right: it may want a GPU, or a model from the Hub."""
    after = vars(cls).get("__post_init__")
    if after:
        cls.__post_init__ = lambda *_: None
    try:
        yield
    finally:
        if after:
            cls.__post_init__ = after


def _errors(cls: Any, name: str, value: Any) -> set[str]:
    """Return what a field has against a value; nothing when only other fields, or the whole, have something."""
    try:
        with _as_fields_only(cls):
            TypeAdapter(cls).validate_python({name: value})
    except ValidationError as error:
        return {one["type"] for one in error.errors(include_url=False) if one["loc"][:1] == (name,)}
    except Exception as error:  # of a validator, or of what the class does once its fields are right
        frames = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        return {type(error).__name__} if frames & set(_validators(cls)) else set()
    return set()


def _validators(cls: Any) -> Mapping[str, Any]:
    """Return the validators of a class's fields, by the name of their function."""
    found = getattr(cls, "__pydantic_decorators__", None)
    return found.field_validators if found else {}


def _kinds(shape: Shape) -> Iterator[str]:
    """Yield the kinds of values that a shape names."""
    for one in shape.get("anyOf", [shape]):
        if "$ref" in one or "properties" in one:
            yield "object"
        for choice in [*one.get("enum", []), *([one["const"]] if "const" in one else [])]:
            yield "string" if isinstance(choice, str) else "integer"
        if "type" in one:
            yield one["type"]
        if one == {}:
            yield from SAMPLES


def _without_texts(shape: Shape) -> list[Shape]:
    return [one for one in _alternatives(shape) if "string" not in set(_kinds(one))]


def _members(cls: Any, name: str) -> list[str]:
    """Return the names of the enumerations in a field's type."""
    parts = _parts(cls.__pydantic_fields__[name].annotation)
    return [
        member for one in parts if isinstance(one, type) and issubclass(one, enum.Enum) for member in one.__members__
    ]


def _candidates(cls: Any, name: str, shape: Shape) -> list[str]:
    """Return words that a field may take: the names of its enumeration, and its choices."""
    found = {"auto", *_members(cls, name), *HIDDEN.get((cls.__name__, name), [])}
    for part in _alternatives(shape):
        found |= {choice for choice in part.get("enum", []) if isinstance(choice, str)}
    return sorted(found)
