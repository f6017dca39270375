"""The parent of a process."""

from __future__ import annotations

import os
import subprocess

from kit.nodeprocesses import parent


def test_parent_is_there_until_a_process_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert parent(process.pid) == os.getpid()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is there as a zombie
        assert parent(process.pid) is None
    assert parent(process.pid) is None
