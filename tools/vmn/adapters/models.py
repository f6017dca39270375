"""Models: the offline registry, any ``config.json`` on disk, and the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmn.adapters.checkpoint import CheckpointError, tensors_of_folder
from vmn.core.names import similar
from vmn.core.planning.memory.weights import stored_shares
from vmn.core.planning.model.architecture import Architecture, Config, ConfigError
from vmn.core.planning.model.checkpoint_sizes import Tensor, stored_weights
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.values_file import Serving

REGISTRY = Path(__file__).resolve().parent.parent / "data" / "models"
"""One file for each model, ``<organization>--<name>.json``, with name, source, date, sizes, and ``config``."""

QUANTIZATION_FILE = "hf_quant_config.json"
"""Model Optimizer's file next to ``config.json`` (vLLM 0.32, ``transformers_utils/config.py``)."""
COUNTS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
"""Fields that must be at least 1 if they exist."""
NOT_KNOWN = Serving()
"""Serving of a model of which no recipe was read."""


class ModelError(Exception):
    """A model is not known or can't be read; the message says why, and what to do."""


@dataclass(frozen=True)
class Model:
    """A model to plan.

    Attributes:
        name: name on Hugging Face, or of the file.
        architecture: shapes of the model.
        config: the ``config.json`` with the shapes.
        source: where the configuration comes from.
        date: when it was read there, empty for a file of the user.
        checkpoint_bytes: size of the published files, None when it is not known.
        parameters: published number of parameters, None when it is not known.
        serving: flags of vLLM that the model is served with, and their source.
    """

    name: str
    architecture: Architecture
    config: Config
    source: str
    date: str = ""
    checkpoint_bytes: int | None = None
    parameters: int | None = None
    serving: Serving = NOT_KNOWN


def load_model(name: str | None, config: Path | None = None, hub: bool = False) -> Model:
    """Return a model from the registry, from a file, or from the Hub.

    Args:
        name: name in the registry or on the Hub; with ``config`` only what to call the model.
        config: a ``config.json``, or a directory with one.
        hub: whether to ask the Hub instead of the registry.

    Raises:
        ModelError: the model is not known, or it can't be planned.
        OSError: the file can't be read.
    """
    if config is not None:
        if hub:
            raise ModelError("Give --config or --hub, not both.")
        return model_of_file(config, name)
    if not name:
        raise ModelError("Give a MODEL of the registry, or --config FILE.")
    if hub:
        return model_of_hub(name)
    return registered_model(name)


def model_of_file(path: Path, name: str | None = None) -> Model:
    """Return the model of a ``config.json``, with exact weights if the directory has its checkpoint.

    Raises:
        ModelError: the file is not the ``config.json`` of a model that can be planned, or of this checkpoint.
        OSError: the file can't be read.
    """
    file = path / "config.json" if path.is_dir() else path
    config = _with_quantization(_read(file), file.parent)
    own = config.get("_name_or_path")
    resolved = file.resolve()
    called = name or own or (resolved.parent.name if resolved.name == "config.json" else resolved.name)
    model = Model(str(called), _architecture(config, str(file)), config, str(file))
    if resolved.name != "config.json":
        return model
    try:
        return _with_weights(model, tensors_of_folder(file.parent))
    except CheckpointError as error:
        raise ModelError(f"{error}.") from error


def _with_quantization(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with Model Optimizer's own file next to it, which vLLM reads as well."""
    beside = folder / QUANTIZATION_FILE
    return {**config, "hf_quant_config": _read(beside)} if beside.is_file() else config


def model_of_hub(name: str) -> Model:
    """Return a model from the Hugging Face Hub, with exact weights if it has safetensors files.

    Raises:
        ModelError: the Hub can't be asked, or the model can't be planned.
    """
    from vmn.adapters.hub import HubError, hub_config, hub_quantization, hub_tensors

    try:
        config = hub_config(name)
        if "quantization_config" not in config and (beside := hub_quantization(name, QUANTIZATION_FILE)):
            config = {**config, "hf_quant_config": beside}
        model = Model(name, _architecture(config, name), config, f"the Hugging Face Hub, {name}")
        return _with_weights(model, hub_tensors(name))
    except (HubError, CheckpointError) as error:
        raise ModelError(str(error)) from error


def _with_weights(model: Model, tensors: Mapping[str, Tensor]) -> Model:
    """Return the model with the sizes of its tensors, if there are any."""
    if not tensors:
        return model
    try:
        stored = stored_weights(tensors, len(model.architecture.layers))
        shapes = replace(model.architecture, stored=stored)
        stored_shares(shapes)
    except ConfigError as error:
        raise ModelError(f"{model.name}: {error}.") from error
    size = sum(tensor.size for tensor in tensors.values())
    source = f"{model.source}, with the weights of its safetensors headers"
    return replace(model, architecture=shapes, source=source, checkpoint_bytes=size)


def registered_model(name: str) -> Model:
    """Return a model from the registry by its name, with or without the organization, in any case.

    Raises:
        ModelError: the registry does not have it; the message has the nearest names.
    """
    files = {path.stem.replace("--", "/", 1): path for path in sorted(REGISTRY.glob("*.json"))}
    wanted = name.strip().lower()
    found = [known for known in files if wanted in (known.lower(), known.lower().partition("/")[2])]
    if len(found) > 1:
        raise ModelError(f"{name} matches several models: {', '.join(found)}.")
    if not found:
        raise ModelError(f"{name} is not in the registry. {_instead(name, files)}")
    entry = _read(files[found[0]])
    config = entry["config"]
    if entry.get("hf_quant_config"):
        config = {**config, "hf_quant_config": entry["hf_quant_config"]}
    return Model(
        name=str(entry["name"]),
        architecture=_architecture(config, found[0]),
        config=config,
        source=str(entry["source"]),
        date=str(entry["date"]),
        checkpoint_bytes=entry.get("checkpoint_bytes"),
        parameters=entry.get("parameters"),
        serving=_serving(entry.get("serving", {})),
    )


def _serving(entry: Mapping[str, Any]) -> Serving:
    return Serving(entry.get("args", {}), entry.get("trust_remote_code", False), entry.get("source", ""))


def _instead(given: str, known: Iterable[str]) -> str:
    near = similar(given, known)
    any_file = "You can plan any model from its own file with --config config.json, or from the Hub with --hub."
    return f"Did you mean {' or '.join(near)}? {any_file}" if near else any_file


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not a text file; expected a config.json.") from error
    except json.JSONDecodeError as error:
        raise ModelError(f"{path} is not JSON: {error.msg} (line {error.lineno}).") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a config.json: it has no fields.")
    return content


def _architecture(config: Config, what: str) -> Architecture:
    """Return the shapes; a field that can't be read becomes a ModelError."""
    _check_counts(config, what)
    try:
        return read_architecture(config)
    except ConfigError as error:
        raise ModelError(f"{what}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{what}: the planner can't read a field ({error}).") from error


def _check_counts(config: Config, what: str) -> None:
    inner = config.get("text_config")
    for fields in (config, inner if isinstance(inner, dict) else {}):
        for field in COUNTS:
            if field == "head_dim" and fields.get("kv_lora_rank"):
                continue  # heads of latent attention have fields of their own
            value = fields.get(field)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 1):
                raise ModelError(f"{what}: {field} must be a number of at least 1 (got {json.dumps(value)}).")
