"""The registry of models: each file has its fields, its source, and its date."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import vmn
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.config_json import read_architecture

MODELS = sorted((Path(vmn.__file__).parent / "data" / "models").glob("*.json"))
VLLM = MODELS[0].parents[1] / "vllm"
REQUIRED = {"name", "source", "date", "config"}
OPTIONAL = {"note", "serving", "checkpoint_bytes", "checkpoint_source", "parameters", "parameters_source"}
SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")

each_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    return entry


def text_model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    text: Mapping[str, Any] = config.get("text_config", config)
    return text


def test_registry_holds_models() -> None:
    assert len(MODELS) > 50


@each_model
def test_entry_has_its_fields_and_no_others(path: Path) -> None:
    fields = read(path).keys()
    assert fields >= REQUIRED
    assert fields <= REQUIRED | OPTIONAL


@each_model
def test_file_is_named_after_the_model(path: Path) -> None:
    organisation, name = read(path)["name"].split("/")
    assert path.name == f"{organisation}--{name}.json"


@each_model
def test_source_is_an_address_and_date_a_date(path: Path) -> None:
    entry = read(path)
    for address in (entry["source"], entry.get("serving", entry)["source"]):
        source = urlsplit(address)
        assert (source.scheme, bool(source.netloc)) == ("https", True)
    assert date.fromisoformat(entry["date"]) >= date(2026, 11, 22)


@each_model
@pytest.mark.parametrize(
    ("number", "origin"), [("checkpoint_bytes", "checkpoint_source"), ("parameters", "parameters_source")]
)
def test_number_comes_with_its_source(path: Path, number: str, origin: str) -> None:
    entry = read(path)
    assert (number in entry) == (origin in entry)
    assert number not in entry or entry[number] > 0


def is_counted(path: Path) -> bool:
    """Return whether the published count includes layers for multi-token prediction, which are not planned."""
    entry = read(path)
    return "parameters" in entry and not entry["config"].get("num_nextn_predict_layers")


@pytest.mark.parametrize("path", [path for path in MODELS if is_counted(path)], ids=lambda path: path.stem)
def test_parameters_are_those_of_the_shapes(path: Path) -> None:
    entry = read(path)
    config = {key: value for key, value in entry["config"].items() if key != "quantization_config"}
    weights = stage_weights(read_architecture(config), Layout(), 0)
    counted = (sum(weights.values()) - weights.get("copies", 0.0)) / 2
    assert counted == pytest.approx(entry["parameters"], rel=0.005)


@each_model
def test_config_has_the_model_s_shape(path: Path) -> None:
    config = read(path)["config"]
    text = text_model(config)
    text = {"num_hidden_layers": text.get("num_layers"), **text}
    assert all(type(text.get(field)) is int and text[field] > 0 for field in SHAPE)


@each_model
def test_config_names_an_architecture(path: Path) -> None:
    architectures = read(path)["config"]["architectures"]
    assert architectures
    assert all(isinstance(name, str) for name in architectures)


@each_model
def test_lists_by_layer_have_one_item_per_layer(path: Path) -> None:
    text = text_model(read(path)["config"])
    by_layer = [
        text[field] for field in ("layer_types", "mlp_layer_types", "indexer_types", "block_configs") if text.get(field)
    ]
    assert all(len(items) == text["num_hidden_layers"] for items in by_layer)


def test_no_model_exists_twice() -> None:
    names = Counter(read(path)["name"].lower() for path in MODELS)
    assert [name for name, times in names.items() if times > 1] == []


def flags_of(path: Path) -> dict[str, Any]:
    """Return the flags that vLLM serves a model with."""
    args: dict[str, Any] = read(path).get("serving", {}).get("args", {})
    return args


@pytest.mark.parametrize("path", [path for path in MODELS if flags_of(path)], ids=lambda path: path.stem)
def test_flags_of_a_model_are_flags_and_parsers_of_vllm(path: Path) -> None:
    flags = json.loads((VLLM / "0.33.json").read_text(encoding="utf-8"))["flags"]
    args = flags_of(path)
    assert args.keys() <= flags.keys()
    parsers = {flag: value for flag, value in args.items() if flag.endswith("-parser")}
    assert parsers
    assert [value for flag, value in parsers.items() if value not in flags[flag]["registered"]] == []
    assert ("tool-call-parser" in args) == bool(args.get("enable-auto-tool-choice"))


def test_serving_has_its_fields_and_no_others() -> None:
    fields = {field for path in MODELS for field in read(path).get("serving", {})}
    assert fields <= {"source", "args", "trust_remote_code", "note"}
