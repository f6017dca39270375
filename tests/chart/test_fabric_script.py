"""fabric.sh, which runs before the entrypoint: the vendor's script, its libraries, and the interface to the leader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.paths import CHART

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
net1\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
net2\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
net3\t0002A8C0\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
"""Routes in the kernel's form: the default, 192.168.0.0/16, 192.168.1.0/24, and 192.168.2.0/24, which is down."""
SAY = 'env | grep -E "^(NCCL|GLOO|LD_LIB|VENDOR)" | sort; echo "arguments: $*"\n'


class Started:
    """A run of fabric.sh beside the other scripts, with an entrypoint that prints its arguments and variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Run it in a directory until it exits, as a leader unless the settings differ."""
        for file in [*(CHART / "files" / "engine").glob("*.sh"), *(CHART / "files" / "fabric").glob("*.sh")]:
            shutil.copy(file, folder)
        (folder / "entrypoint.sh").write_text(SAY, encoding="utf-8")
        (folder / "routes").write_text(ROUTES, encoding="utf-8")
        env = {"PATH": os.environ["PATH"], "ROUTES": str(folder / "routes"), "MULTINODE_LEADER_ADDRESS_SECONDS": "1"}
        env |= {"LWS_WORKER_INDEX": "0", "LWS_LEADER_ADDRESS": "no.such.name.invalid", **settings}
        command = ["bash", str(folder / "fabric.sh"), "a word", "--flag"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
        self.code, self.said, self.told = done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("leader", "interface"),
    [("192.168.1.7", "net2"), ("192.168.9.7", "net1"), ("192.168.2.7", "net1"), ("10.0.0.9", "eth0")],
)
def test_interface_is_that_of_the_narrowest_route_to_the_leader(tmp_path: Path, leader: str, interface: str) -> None:
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", VLLM_HOST_IP=leader)
    assert started.code == 0, started.told
    assert started.said == [
        f"GLOO_SOCKET_IFNAME={interface}",
        f"NCCL_SOCKET_IFNAME=={interface}",
        "arguments: a word --flag",
    ]
    assert f"the way to the leader at {leader} is {interface}" in started.told


def test_another_program_starts_with_the_settings_when_the_pod_names_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os; print(os.environ['NCCL_SOCKET_IFNAME'])", encoding="utf-8")
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", VLLM_HOST_IP="10.0.0.9", MULTINODE_PROGRAM=str(program))
    assert (started.code, started.said) == (0, ["=eth0"])


def test_interface_of_the_user_is_kept(tmp_path: Path) -> None:
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", VLLM_HOST_IP="10.0.0.9", GLOO_SOCKET_IFNAME="bond0")
    assert "GLOO_SOCKET_IFNAME=bond0" in started.said


def test_start_fails_when_no_route_leads_to_the_leader(tmp_path: Path) -> None:
    (tmp_path / "none").write_text(ROUTES.splitlines()[0], encoding="utf-8")
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", VLLM_HOST_IP="10.0.0.9", ROUTES=str(tmp_path / "none"))
    assert (started.code, started.said) == (1, [])
    assert "no route leads to the leader at 10.0.0.9: set fabric.interface" in started.told


def test_missing_leader_address_is_left_to_the_start_script(tmp_path: Path) -> None:
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", LWS_WORKER_INDEX="1")
    assert (started.code, started.said) == (0, ["arguments: a word --flag"])


def test_interface_of_an_ipv6_leader_is_left_to_nccl_and_gloo(tmp_path: Path) -> None:
    started = Started(tmp_path, MULTINODE_INTERFACE="auto", VLLM_HOST_IP="fd00::1")
    assert (started.code, started.said) == (0, ["arguments: a word --flag"])
    assert "set fabric.interface" in started.told


def test_vendors_settings_apply_unless_the_pod_sets_them(tmp_path: Path) -> None:
    script = tmp_path / "set_nccl_env.sh"
    script.write_text('export NCCL_CROSS_NIC=0 NCCL_NET=other VENDOR="a $unset b"\nfalse\n', encoding="utf-8")
    started = Started(tmp_path, MULTINODE_NCCL_SCRIPT=str(script), NCCL_NET="it's $IB", VLLM_HOST_IP="10.0.0.9")
    assert started.code == 0, started.told
    assert started.said == ["NCCL_CROSS_NIC=0", "NCCL_NET=it's $IB", "VENDOR=a  b", "arguments: a word --flag"]


def test_start_fails_when_the_vendors_script_is_not_on_the_node(tmp_path: Path) -> None:
    started = Started(tmp_path, MULTINODE_NCCL_SCRIPT="/usr/local/none/set.sh", VLLM_HOST_IP="10.0.0.9")
    assert (started.code, started.said) == (1, [])
    assert "/usr/local/none/set.sh does not exist" in started.told


@pytest.mark.parametrize(("own", "all_of_it"), [("", "/gib"), ("/cuda", "/gib:/cuda")])
def test_vendors_libraries_come_before_the_images(tmp_path: Path, own: str, all_of_it: str) -> None:
    more = {"LD_LIBRARY_PATH": own} if own else {}
    started = Started(tmp_path, MULTINODE_LIBRARIES="/gib", VLLM_HOST_IP="10.0.0.9", **more)
    assert f"LD_LIBRARY_PATH={all_of_it}" in started.said
