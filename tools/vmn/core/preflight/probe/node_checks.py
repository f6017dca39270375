"""Judges what each pod has: shared memory, GPUs, RDMA, locked memory, cache, weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Facts, ProbeProblem
from vmn.core.preflight.result import CheckStatus

CONTAINER_DEFAULT = 64 * 2**20
"""Bytes of /dev/shm that container runtimes give when nothing is mounted; NCCL fails there (nccl#290, nccl#525)."""
ACTIVE = "ACTIVE"
ROCE = "Ethernet"
NO_GID = "0000:0000:0000:0000:0000:0000:0000:0000"


def no_rdma(asked: Expectations) -> str | None:
    """Return why RDMA is not needed."""
    return None if asked.rdma else "fabric.profile is neither infiniband nor roce"


def no_gpus(asked: Expectations) -> str | None:
    """Return why no GPUs are counted."""
    if not asked.gpus:
        return "the pods ask for no GPUs"
    return None if asked.counts_gpus else f"only NVIDIA's GPUs can be counted, not {asked.resource}"


def no_weights(asked: Expectations) -> str | None:
    """Return why no weights are looked at."""
    return None if asked.weights else "the weights come after the start of a pod"


def shm(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """/dev/shm is as large as the values say, and larger than what breaks NCCL."""
    total, wanted = facts.get("total"), asked.shared_memory
    if total is None:
        yield ProbeProblem(f"/dev/shm can't be seen: {facts['error']}", "Leave the mount of /dev/shm to the chart.")
    elif total <= CONTAINER_DEFAULT:
        fix = "Set sharedMemory.size to 4Gi per GPU, at least 8Gi (CPU build: 1Gi), or to null, which derives it."
        yield ProbeProblem(f"/dev/shm has {_mib(total)}, too little for NCCL and vLLM's queues", fix)
    elif wanted and total < wanted:
        fix = "Raise resources.limits.memory, which bounds it, above sharedMemory.size; or use nodes with more memory."
        yield ProbeProblem(f"/dev/shm has {_mib(total)} of {_mib(wanted)} (sharedMemory.size)", fix)


def shm_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return the smallest size."""
    return f"/dev/shm has at least {_mib(min(item['total'] for item in facts))}"


def _mib(amount: int) -> str:
    return f"{amount / 2**20:.0f}Mi"


def memlock(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """RDMA may lock any amount of memory."""
    if facts["limit"] != -1 and not facts["capability"]:
        fix = (
            "Run as root with IPC_LOCK, which fabric.profile derives (see security.podSecurityContext and "
            "security.containerSecurityContext), or set LimitMEMLOCK=infinity for the nodes' container runtime."
        )
        yield ProbeProblem(
            f"only {facts['limit'] // 1024} KiB may be locked: RDMA ends with `Cannot allocate memory`", fix
        )


def memlock_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return why any amount may be locked."""
    return "any amount of memory may be locked" + (" (IPC_LOCK)" if any(item["capability"] for item in facts) else "")


def rdma(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """Devices are there, may be opened, and have a port that is up and an address where one is named."""
    device = "See fabric.resourceName and the RDMA device plugin: it must put /dev/infiniband/uverbs… into the pod."
    if not facts["devices"]:
        yield ProbeProblem("there are no RDMA devices in the pod", device)
        return
    if facts["closed"]:
        yield ProbeProblem(f"{', '.join(facts['closed'])} may not be opened", device)
    up = [item for item in facts["ports"] if item["state"] == ACTIVE]
    down = [f"{item['port']} is {item['state'] or 'unknown'}" for item in facts["ports"] if item not in up]
    cable = "Look at cable, switch and subnet manager: `ibstat` or `rdma link` on the node."
    if not up:
        yield ProbeProblem(f"no port is up: {', '.join(down) or 'the devices have none'}", cable)
    elif down:
        yield ProbeProblem(f"some ports are not up: {', '.join(down)}", cable, CheckStatus.WARN)
    empty = [item["port"] for item in up if item["link"] == ROCE and item.get("gid", "-") in ("", NO_GID)]
    if empty:
        fix = "Set fabric.gidIndex to one that `show_gids` on the node lists for RoCE v2, or to null for NCCL's choice."
        yield ProbeProblem(f"{', '.join(empty)} has no address at fabric.gidIndex {asked.gid}", fix)


def rdma_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return the ports of the first pod."""
    links = sorted({item["link"] for entry in facts for item in entry["ports"]})
    return f"at least {min(len(item['ports']) for item in facts)} port(s) up per pod ({', '.join(links)})"


def gpus(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """The container sees the GPUs that were asked for, and the driver answers."""
    if facts["count"] != asked.gpus:
        more = f" ({facts['error']})" if facts.get("error") else ""
        fix = (
            "Set scheduling.runtimeClassName to nvidia where it is not the nodes' default, and see the device plugin. "
            "group.gpusPerNode must be the number of whole GPUs."
        )
        yield ProbeProblem(f"{facts['count']} GPUs by {facts['by']}, and {asked.gpus} were asked for{more}", fix)
    elif facts.get("error"):
        yield ProbeProblem(str(facts["error"]), "Reload the driver on that node, or restart it.")


def gpus_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return their number and kind."""
    names = sorted({name for item in facts for name in item["names"]})
    return f"{asked.gpus} in every pod{': ' + ', '.join(names) if names else ''}"


def cache(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """VLLM's folders can be written."""
    for path, error in facts["paths"].items():
        if error:
            fix = "Make that folder writable for security.userId on each node, or use cache.type emptyDir."
            yield ProbeProblem(f"{path} is not writable for user {facts['user']}: {error}", fix)


def cache_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return what was tried."""
    return f"{' and '.join(asked.writable)} can be written"


def weights(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """The checkpoint is whole."""
    path = "Set weights.path to the checkpoint's folder on the volume, and see weights.volume."
    if facts["error"]:
        near = facts.get("near")
        more = f"; {near['folder']} has {', '.join(near['has']) or 'nothing'}" if near else ""
        yield ProbeProblem(f"{facts['path']} {facts['error']}{more}", path)
        return
    yield from _lists(facts)
    if not facts["files"]:
        yield ProbeProblem(f"{facts['path']} has no weights", path)
    elif facts.get("configuration") is False:
        yield ProbeProblem(f"{facts['path']} has no config.json", path)


def _lists(facts: Facts) -> Iterator[ProbeProblem]:
    missing, broken = facts.get("missing"), facts.get("broken")
    again = "Download the checkpoint again, or copy what is lacking."
    if missing and missing["count"]:
        names = ", ".join(missing["names"])
        yield ProbeProblem(
            f"{missing['count']} of {facts['files']} files of {facts['path']} are missing: {names}", again
        )
    if broken and broken["count"]:
        names = ", ".join(f"{name} ({why})" for name, why in broken["names"].items())
        yield ProbeProblem(f"{broken['count']} file(s) of {facts['path']} not whole: {names}", again)
    total = facts.get("total")
    if total and facts["size"] < total and not any(item and item["count"] for item in (missing, broken)):
        text = f"the files of {facts['path']} have {facts['size']} bytes, and its index says {total}"
        yield ProbeProblem(text, "Compare with where it came from: the index may be of another copy.", CheckStatus.WARN)


def weights_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return how much there is."""
    first = facts[0]
    return f"{first['path']} is whole in every pod: {first['files']} file(s), {first['size'] / 1e9:.3g} GB"
