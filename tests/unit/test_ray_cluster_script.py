"""The Ray image's start script, with stand-ins for Ray; the engine tier runs it with Ray."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kit.paths import CHART, CHECKOUT
from localcluster.engine import packages

pytestmark = pytest.mark.slow

IMAGE = CHECKOUT / "images" / "vllm-ray"
LIMIT = 30
"""Seconds that a run may take."""
# In these the script sees only its own processes, and none is left at the end.
ALONE = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--kill-child=KILL"]
ALONE += ["--mount-proc", "--"]
RAY = """\
echo "$*" >>{log}
case "$1 $START" in
  'start fails') echo 'Ray says why'; exit 3 ;;
  'start stays') {raylet} 60 </dev/null >/dev/null 2>&1 & ;;
  'start ends') {raylet} 1 </dev/null >/dev/null 2>&1 & ;;
esac
"""
RAY_MODULE = """\
import os
def init(address, **options):
    print("asks", address)
def nodes():
    return [{"NodeName": name.strip("-"), "Alive": not name.endswith("-")} for name in os.environ["NODES"].split()]
"""


class Node:
    """A node of a group of two, whose Ray is a stand-in.

    ``START`` says how ``ray start`` goes: fails, stays, or ends soon; ``NODES`` are those that Ray tells of, with a
    dash at the end of the dead ones.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        """Make the stand-ins in a temporary directory."""
        self.log = folder / "calls"
        programs = folder / "programs"
        programs.mkdir()
        (programs / "raylet").write_bytes(Path("/bin/sleep").read_bytes())
        (programs / "raylet").chmod(0o755)
        texts = {
            "ray": RAY.format(log=shlex.quote(str(self.log)), raylet=shlex.quote(str(programs / "raylet"))),
            "python3": f'exec {shlex.quote(sys.executable)} "$@"',
        }
        for name, text in texts.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        (folder / "ray.py").write_text(RAY_MODULE)
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "VLLM_HOST_IP": "10.0.0.1",
            "LWS_LEADER_ADDRESS": "vllm-0.vllm.llm",
            "START": "",
            "NODES": "vllm-0",
            **settings,
        }

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the script to its end and return its exit status and all that it said."""
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=LIMIT)
        return process.returncode, said

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the script."""
        command = [*ALONE, str(IMAGE / "ray-cluster"), *arguments]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def calls(self) -> list[str]:
        """Return the arguments of every call of ``ray``."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@contextmanager
def head() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module", autouse=True)
def processes_of_its_own() -> None:
    """Skip where the tests may not make a process namespace."""
    done = subprocess.run([*ALONE, "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not make a process namespace: {done.stderr.decode()}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "leader or worker?"),
        ("boss", "leader or worker?"),
        ("leader", "a leader needs --nodes"),
        ("leader --nodes", "--nodes needs a value"),
        ("leader --nodes two", "--nodes is not a number from 1 on: two"),
        ("leader --nodes 0", "--nodes is not a number from 1 on: 0"),
        ("leader --nodes 2 --address a:1", "a leader knows no option --address"),
        ("worker", "a worker needs --address HOST:PORT"),
        ("worker --address 10.0.0.1", "a worker needs --address HOST:PORT"),
        ("worker --address a:1 --timeout soon", "--timeout is not a number from 1 on: soon"),
        ("worker --nodes 2", "a worker knows no option --nodes"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: str, message: str) -> None:
    node = Node(tmp_path)
    code, said = node.run(*arguments.split())
    assert (code, node.calls()) == (2, [])
    assert message in said
    assert "usage: ray-cluster leader --nodes N" in said


def test_leader_ends_well_when_all_nodes_are_there(tmp_path: Path) -> None:
    node = Node(tmp_path, NODES="vllm-0 vllm-0-1")
    code, said = node.run("leader", "--nodes", "2", "--port", "29501")
    assert code == 0
    assert "asks 10.0.0.1:29501" in said
    assert "2 of 2 nodes: vllm-0, vllm-0-1\n" in said
    assert "the Ray cluster is complete after" in said
    assert len(node.calls()) == 1


def test_head_gets_the_pods_address_and_no_more_memory_than_there_is(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.run("leader", "--nodes", "1")[0] == 0
    call = node.calls()[0]
    assert call.startswith("start --head --port 6379 --include-dashboard=false --node-ip-address 10.0.0.1 ")
    assert "--node-name vllm-0 " in call
    store = re.search("--object-store-memory ([0-9]+)", call)
    free = os.statvfs("/dev/shm")
    assert store
    assert 80_000_000 <= int(store[1]) <= min(2 << 30, free.f_bavail * free.f_frsize // 3)


@pytest.mark.parametrize("nodes", ["vllm-0 vllm-0-2", "vllm-0 vllm-0-1- vllm-0-2", "vllm-0 vllm-0 vllm-0-2"])
def test_leader_without_a_node_fails_in_time_and_names_it(tmp_path: Path, nodes: str) -> None:
    node = Node(tmp_path, NODES=nodes)
    code, said = node.run("leader", "--nodes", "3", "--timeout", "1")
    assert code == 1
    assert "2 of 3 nodes: vllm-0, vllm-0-2; missing: vllm-0-1\n" in said
    assert "the Ray cluster is not complete after" in said
    assert node.calls()[-1] == "stop --force"


def test_leader_outside_leaderworkerset_counts(tmp_path: Path) -> None:
    node = Node(tmp_path, LWS_LEADER_ADDRESS="", NODES="a")
    code, said = node.run("leader", "--nodes", "2", "--timeout", "1")
    assert code == 1
    assert "1 of 2 nodes: a; missing: the others" in said


def test_head_that_does_not_start_is_told_with_what_ray_said(tmp_path: Path) -> None:
    code, said = Node(tmp_path, START="fails").run("leader", "--nodes", "2")
    assert code == 1
    assert "Ray says why\nray-cluster: Ray's head did not start: see above" in said


def test_too_little_shared_memory_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (tmp_path / "programs" / "df").write_text("#!/bin/bash\necho Avail; echo 67108864\n")
    (tmp_path / "programs" / "df").chmod(0o755)
    code, said = node.run("leader", "--nodes", "1")
    assert (code, node.calls()) == (1, [])
    assert "/dev/shm has 64 MiB free, too little for Ray" in said


@pytest.mark.parametrize("listens", [False, True], ids=["nothing listens", "Ray refuses"])
def test_worker_that_cannot_join_fails_in_time(tmp_path: Path, listens: bool) -> None:
    node = Node(tmp_path, START="fails", LWS_WORKER_INDEX="1")
    with head() as (server, address):
        if not listens:
            server.close()
        code, said = node.run("worker", "--address", address, "--timeout", "1")
    assert code == 1
    assert f"no Ray cluster to join at {address} in 1 s" in said
    assert ("Ray says why" in said) == listens


@pytest.mark.parametrize("start", ["stays", "ends"], ids=["its own Ray stays", "its own Ray ends with it"])
def test_worker_ends_with_an_error_when_the_head_is_gone(tmp_path: Path, start: str) -> None:
    node = Node(tmp_path, START=start, LWS_WORKER_INDEX="1")
    with head() as (server, address), node.start("worker", "--address", address) as process:
        assert process.stdout
        assert any("joined after" in line for line in process.stdout)
        server.close()
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert f"the head at {address} is gone" in said
    assert node.calls()[0].startswith(f"start --address {address} --node-ip-address 10.0.0.1 --node-name vllm-0-1 ")


def test_worker_ends_with_an_error_when_its_own_ray_ends(tmp_path: Path) -> None:
    with head() as (_, address):
        code, said = Node(tmp_path, START="ends").run("worker", "--address", address)
    assert code == 1
    assert "Ray's own process on this node, the raylet, has ended" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"VLLM_HOST_IP": ""}, "VLLM_HOST_IP is not set"), ({"PATH": "/usr/bin:/bin"}, "this image has no ray")],
)
def test_what_is_missing_is_told(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    code, said = Node(tmp_path, **settings).run("leader", "--nodes", "1")
    assert code == 1
    assert message in said


def test_image_has_the_chart_s_version_of_vllm_and_the_tested_one_of_ray() -> None:
    pins = dict(re.findall(r"^ARG (\w+)=(\S+)$", (IMAGE / "Containerfile").read_text(), re.MULTILINE))
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert pins["VLLM_VERSION"] == f"v{version}"
    assert pins["RAY_VERSION"] == packages.RAY_VERSION
    tag = f"v{version}-ray{packages.RAY_VERSION}"
    assert (IMAGE / "README.md").read_text().count(tag) == 2
