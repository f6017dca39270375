"""``python -m localcluster.engine``: make the engine, or with ``lock`` pin its packages anew."""

from __future__ import annotations

import argparse
import sys

from localcluster import engine
from localcluster.engine import packages
from localcluster.host import HostError, say


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.engine", description=__doc__)
    parser.add_argument("action", choices=["prepare", "lock"], nargs="?", default="prepare")
    try:
        if parser.parse_args().action == "lock":
            packages.lock()
        else:
            print(engine.prepare())
    except HostError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
