"""Runs in vLLM's environment: says what vLLM has against each list of arguments of ``vllm serve``, before it loads.

Argument: a JSON file, a map of lists. The last line printed is JSON: the same keys, with a message or null. The parser
speaks first, then what the API server checks of its arguments, then the configuration class behind each flag.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import inspect
import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vllm.config
from pydantic import TypeAdapter, ValidationError
from vllm.engine import arg_utils
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.model_executor import model_loader
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.tokenizers import registry
from vllm.utils.argparse_utils import FlexibleArgumentParser

try:
    from vllm.entrypoints.common.cli_args import validate_api_server_args
except ModuleNotFoundError:  # vLLM 0.32
    from vllm.entrypoints.launchers.launcher import validate_api_server_args


class Refused(Exception):  # noqa: N818 - reads as what happened
    """What the parser says."""


def refuse(message: str) -> None:
    """Stand in for argparse's own handler, which would end the process."""
    raise Refused(message)


def main(cases: dict[str, list[str]]) -> dict[str, str | None]:
    """Return what vLLM says to each list."""
    parser = FlexibleArgumentParser()
    command = ServeSubcommand()
    serve = command.subparser_init(parser.add_subparsers(dest="subparser"))
    parser.error = serve.error = refuse
    fields = list(fields_of_flags())
    said: dict[str, str | None] = {}
    for name, words in cases.items():
        try:
            parsed = parser.parse_args(words)
            parsed.chat_template = None  # a file of the image, or of a volume
            command.validate(parsed)
            AsyncEngineArgs.from_cli_args(parsed)
            check_configuration(parsed, serve, fields)
            said[name] = None
        except (Exception, SystemExit) as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def check_configuration(parsed: argparse.Namespace, serve: Any, fields: list[tuple[str, Any, str]]) -> None:
    """Check what vLLM checks of arguments between parsing and loading, as far as it needs no model and no GPU.

    Raises:
        Exception: whatever vLLM raises.
    """
    parsed.structured_outputs_config = copy.deepcopy(parsed.structured_outputs_config)  # a default of the parser
    if not (parsed.tool_parser_plugin or parsed.reasoning_parser_plugin):
        AsyncEngineArgs.from_cli_args(parsed).create_structured_outputs_config()
        validate_api_server_args(parsed)
    for dest, cls, field in fields:
        value = getattr(parsed, dest, None)
        if dest != "speculative_config" and value is not None and value != serve.get_default(dest):
            check_field(cls, field, value)
    for key, value in (parsed.speculative_config or {}).items():
        check_field(vllm.config.SpeculativeConfig, key.replace("-", "_"), value)
    if parsed.quantization and parsed.quantization.lower() not in QUANTIZATION_METHODS:
        raise Refused(f"quantization {parsed.quantization}")
    if parsed.load_format.lower() not in model_loader._LOAD_FORMAT_TO_MODEL_LOADER:
        raise Refused(f"load format {parsed.load_format}")
    if parsed.tokenizer_mode.lower() not in {"auto", *registry._VLLM_TOKENIZERS}:
        raise Refused(f"tokenizer mode {parsed.tokenizer_mode}")


def fields_of_flags() -> Iterator[tuple[str, Any, str]]:
    """Yield each flag's attribute with the class and the field that it sets."""
    tree = ast.parse(inspect.getsource(arg_utils))
    classes = {
        ast.unparse(node.targets[0]): getattr(vllm.config, ast.unparse(node.value.args[0]), None)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func) == "get_kwargs"
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        flag = ast.unparse(call.args[0]).strip("'\"")
        for inner in (part for keyword in call.keywords if not keyword.arg for part in ast.walk(keyword.value)):
            if isinstance(inner, ast.Subscript) and classes.get(ast.unparse(inner.value)):
                field = ast.literal_eval(inner.slice)
                yield flag.lstrip("-").replace("-", "_"), classes[ast.unparse(inner.value)], field


def validators_of(cls: Any) -> set[str]:
    """Return the names of the functions that validate fields of a class."""
    return set(cls.__pydantic_decorators__.field_validators)


def check_field(cls: Any, field: str, value: Any) -> None:
    """Check one field of a class.

    Raises:
        Refused: the class refuses the value, or has no such field.
    """
    after = vars(cls).get("__post_init__")
    try:
        if after:  # it may want a GPU, or a model from the Hub
            cls.__post_init__ = lambda *_: None
        TypeAdapter(cls).validate_python({field: value})
    except ValidationError as error:
        about = [one for one in error.errors(include_url=False) if one["loc"][:1] == (field,)]
        if about:
            raise Refused(f"{cls.__name__}.{field}: {about[0]['msg']}") from error
    except Exception as error:  # of a validator; or of what the class does after it, which wants a model or a GPU
        if {frame.name for frame in traceback.extract_tb(error.__traceback__)} & validators_of(cls):
            raise Refused(f"{cls.__name__}.{field}: {error!r}") from error
    finally:
        if after:
            cls.__post_init__ = after


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        answers = main(json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(answers))
