"""Runs in vLLM's environment: says which flags ``vllm preload`` knows, and which ranks its daemons on a node have.

Argument: a JSON file, a map of command lines of ``vllm preload``. The last line printed is JSON: the flags that only
``vllm serve`` knows, those that ``vllm preload`` knows, the ranks for each command line, and what the platform refuses.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.cli.preload import PreloadSubcommand
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.model_executor.model_loader.weight_cache.daemon import plan_local_ranks
from vllm.model_executor.model_loader.weight_cache.protocol import check_ipc_platform_support
from vllm.utils.argparse_utils import FlexibleArgumentParser


def parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return those of ``vllm serve`` and of ``vllm preload``."""
    subparsers = FlexibleArgumentParser().add_subparsers(dest="subparser")
    return ServeSubcommand().subparser_init(subparsers), PreloadSubcommand().subparser_init(subparsers)


def flags(parser: argparse.ArgumentParser) -> set[str]:
    """Return the long flags without their dashes."""
    return {name[2:] for name in parser._option_string_actions if name.startswith("--")}


def refused() -> str:
    """Return what vLLM says about sharing memory on this platform."""
    try:
        check_ipc_platform_support()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    serve, preload = parsers()
    ranks = {}
    for name, words in json.loads(Path(sys.argv[1]).read_text()).items():
        config = EngineArgs.from_cli_args(preload.parse_args(words[2:])).create_engine_config()
        ranks[name] = plan_local_ranks(config.parallel_config)
    found = {"serve": sorted(flags(serve) - flags(preload)), "preload": sorted(flags(preload))}
    print(json.dumps({**found, "ranks": ranks, "refused": refused()}))
