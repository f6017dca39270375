"""Failures of a release that several tests need."""

from __future__ import annotations

from unit.doctor_data.world import World, condition, stamp

HANDSHAKE = "vllm-multinode: rank 0 of 2 node(s), leader at 10.0.0.7, backend mp"
KILLED = "vllm-multinode: vllm serve ended with exit status 137 after 812 s (served: yes)"
LOST = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}


def ready(world: World, where: int, status: str, **more: str) -> None:
    """Set the Ready condition of a node."""
    world.objects["nodes"][where]["status"]["conditions"] = [condition("Ready", status, 100, **more)]


def controller_down(world: World) -> None:
    """Take LeaderWorkerSet's controller down."""
    world.objects["deployments"][0]["status"] = {"availableReplicas": 0}


def node_lost(world: World) -> None:
    """Lose the worker's node."""
    ready(world, 1, "Unknown", **LOST)
    world.down("vllm-0-1")
    world.unread = {"vllm-0-1": "no answer from its node in 6 s"}


def node_lost_and_group_stuck(world: World) -> None:
    """Lose the worker's node while the group is deleted."""
    node_lost(world)
    for name in ("vllm-0", "vllm-0-1"):
        world.pod(name)["metadata"].update(deletionTimestamp=stamp(50), deletionGracePeriodSeconds=30)
