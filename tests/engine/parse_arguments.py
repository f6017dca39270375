"""Runs in vLLM's environment: says what its own parser has against each list of arguments of ``vllm serve``.

Argument: a JSON file, a map of lists. The last line printed is JSON: the same keys, with a message or null.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser


class Refused(Exception):  # noqa: N818 - reads as what happened
    """What the parser says."""


def refuse(message: str) -> None:
    """Stand in for argparse's own handler, which would end the process."""
    raise Refused(message)


def main(cases: dict[str, list[str]]) -> dict[str, str | None]:
    """Return what the parser says to each list."""
    parser = FlexibleArgumentParser()
    command = ServeSubcommand()
    serve = command.subparser_init(parser.add_subparsers(dest="subparser"))
    parser.error = serve.error = refuse
    said: dict[str, str | None] = {}
    for name, words in cases.items():
        try:
            parsed = parser.parse_args(words)
            command.validate(parsed)
            AsyncEngineArgs.from_cli_args(parsed)
            said[name] = None
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
