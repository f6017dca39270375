"""``python -m localcluster.engine``: make the engine, ``lock`` its packages or ``train`` its checkpoint."""

from __future__ import annotations

import argparse
import sys

from localcluster import engine
from localcluster.engine import checkpoint, packages
from localcluster.host import HostError, say


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.engine", description=__doc__)
    parser.add_argument("action", choices=["prepare", "lock", "train"], nargs="?", default="prepare")
    try:
        action = parser.parse_args().action
        if action == "lock":
            packages.lock()
        elif action == "train":
            checkpoint.train(checkpoint.FOLDER)
        else:
            print(engine.prepare())
    except HostError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
