"""Enter the cluster's control group, then become the program: the cluster owns it from the first moment.

Run by path, with Python's isolated mode: ``launch.py CGROUP PROGRAM ARGUMENT…``.
"""

import os
import sys
from pathlib import Path


def main() -> None:
    """Move this process into the control group and replace it by the program."""
    group, *argv = sys.argv[1:]
    (Path(group) / "cgroup.procs").write_text(f"{os.getpid()}\n")
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
