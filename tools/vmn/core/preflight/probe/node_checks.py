"""Checks of what each pod of a probe has: shared memory, GPUs, RDMA, locked memory, cache, weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Answer, ProbeProblem
from vmn.core.preflight.result import CheckStatus

CONTAINER_DEFAULT = 64 * 2**20
"""Bytes of /dev/shm that container runtimes provide by default; NCCL fails with it (nccl#290, nccl#525)."""
CACHE_ROOM = 2**30
"""Bytes of a cache that are too few: one rank's start left 85 MB there (measured), and a node has up to eight ranks."""
FULL = re.compile(r"No space left|Disk quota exceeded", re.IGNORECASE)
ACTIVE = "ACTIVE"
ROCE = "Ethernet"
NO_GID = "0000:0000:0000:0000:0000:0000:0000:0000"


def no_rdma(expected: Expectations) -> str | None:
    """Return why RDMA is not needed, None when it is."""
    return None if expected.rdma else "fabric.profile is neither infiniband nor roce"


def no_gpus(expected: Expectations) -> str | None:
    """Return why no GPUs are counted, None when they are."""
    if not expected.gpus:
        return "the pods request no GPUs"
    return None if expected.counts_gpus else f"only NVIDIA GPUs can be counted, not {expected.resource}"


def no_weights(expected: Expectations) -> str | None:
    """Return why the weights are not checked, None when they are."""
    return None if expected.weights else "the pods get their weights only when they start"


def shm(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that /dev/shm is as large as the values say, and larger than the size with which NCCL fails."""
    total, wanted = answer.get("total"), expected.shared_memory
    if total is None:
        yield ProbeProblem(f"/dev/shm can't be inspected: {answer['error']}", "Let the chart mount /dev/shm.")
    elif total <= CONTAINER_DEFAULT:
        fix = (
            "Set sharedMemory.size to 4Gi per GPU and at least 8Gi (1Gi for the CPU build), or to null, which derives "
            "it."
        )
        yield ProbeProblem(f"/dev/shm has {_mib(total)}, which is too small for NCCL and vLLM's queues", fix)
    elif wanted and total < wanted:
        fix = "Raise resources.limits.memory, which limits it, above sharedMemory.size; or use nodes with more memory."
        yield ProbeProblem(f"/dev/shm has {_mib(total)} of {_mib(wanted)} (sharedMemory.size)", fix)


def shm_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the smallest size."""
    return f"/dev/shm has at least {_mib(min(item['total'] for item in answers))}"


def _mib(amount: int) -> str:
    return f"{amount / 2**20:.0f}Mi"


def memlock(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that RDMA may lock any amount of memory."""
    if answer["limit"] != -1 and not answer["capability"]:
        fix = (
            "Run as root with IPC_LOCK, which fabric.profile derives (see security.podSecurityContext and "
            "security.containerSecurityContext), or set LimitMEMLOCK=infinity for the nodes' container runtime."
        )
        text = f"only {answer['limit'] // 1024} KiB may be locked, so RDMA fails with `Cannot allocate memory`"
        yield ProbeProblem(text, fix)


def memlock_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return why any amount may be locked."""
    capability = " (IPC_LOCK)" if any(item["capability"] for item in answers) else ""
    return f"any amount of memory may be locked{capability}"


def rdma(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that RDMA devices exist and can be opened, with a port that is up and has an address where one is named."""
    device = "See fabric.resourceName and the RDMA device plugin: it must put /dev/infiniband/uverbs… into the pod."
    if not answer["devices"]:
        yield ProbeProblem("the pod has no RDMA devices", device)
        return
    if answer["closed"]:
        yield ProbeProblem(f"{', '.join(answer['closed'])} can't be opened", device)
    up = [item for item in answer["ports"] if item["state"] == ACTIVE]
    down = [f"{item['port']} is {item['state'] or 'unknown'}" for item in answer["ports"] if item not in up]
    cable = "Check the cable, the switch, and the subnet manager: run `ibstat` or `rdma link` on the node."
    if not up:
        yield ProbeProblem(f"no port is up: {', '.join(down) or 'the devices have none'}", cable)
    elif down:
        yield ProbeProblem(f"some ports are not up: {', '.join(down)}", cable, CheckStatus.WARN)
    empty = [item["port"] for item in up if item["link"] == ROCE and item.get("gid", "-") in ("", NO_GID)]
    if empty:
        fix = (
            "Set fabric.gidIndex to an index that `show_gids` on the node lists for RoCE v2, or to null to let NCCL "
            "choose."
        )
        verb = "has" if len(empty) == 1 else "have"
        yield ProbeProblem(f"{', '.join(empty)} {verb} no address at fabric.gidIndex {expected.gid}", fix)


def rdma_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the smallest number of ports, and their kinds."""
    links = sorted({item["link"] for entry in answers for item in entry["ports"]})
    fewest = min(len(item["ports"]) for item in answers)
    return f"every pod has at least {fewest} port{'s' * (fewest != 1)} up ({', '.join(links)})"


def gpus(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that the container sees the requested GPUs, and that the driver answers."""
    if answer["count"] != expected.gpus:
        more = f" ({answer['error']})" if answer.get("error") else ""
        fix = (
            "Set scheduling.runtimeClassName to nvidia unless it is the nodes' default, and check the device plugin. "
            "group.gpusPerNode must be a number of whole GPUs."
        )
        text = f"{answer['by']} finds {answer['count']} GPUs, but {expected.gpus} were requested{more}"
        yield ProbeProblem(text, fix)
    elif answer.get("error"):
        yield ProbeProblem(str(answer["error"]), "Reload the driver on that node, or restart the node.")


def gpus_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the number and kind of the GPUs."""
    names = sorted({name for item in answers for name in item["names"]})
    return f"{expected.gpus} in every pod{': ' + ', '.join(names) if names else ''}"


def cache(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that vLLM can write to its directories, and that their disk has room for what a start compiles."""
    for path, error in answer["paths"].items():
        free = (answer.get("free") or {}).get(path)
        if error and FULL.search(error):
            yield _no_room(f"the disk under {path} is full", CheckStatus.FAIL)
        elif error:
            fix = "Make that directory writable for security.userId on each node, or use cache.type emptyDir."
            yield ProbeProblem(f"{path} is not writable for user {answer['user']}: {error}", fix)
        elif free is not None and free < CACHE_ROOM:
            yield _no_room(f"the disk under {path} has only {_mib(free)} free", CheckStatus.WARN)


def _no_room(text: str, status: CheckStatus) -> ProbeProblem:
    cost = "vLLM can't keep what it compiles, so that each start compiles again, which takes minutes"
    fix = "Free space on the node's disk, or delete directories of earlier versions from the cache."
    return ProbeProblem(f"{text}: {cost}", fix, status)


def cache_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the directories."""
    return f"{' and '.join(expected.writable)} {'is' if len(expected.writable) == 1 else 'are'} writable"


def weights(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that the checkpoint is complete."""
    path = "Set weights.path to the checkpoint's directory on the volume, and see weights.volume."
    if answer["error"]:
        near = answer.get("near")
        more = f"; {near['folder']} has {', '.join(near['has']) or 'nothing'}" if near else ""
        yield ProbeProblem(f"{answer['path']} {answer['error']}{more}", path)
        return
    yield from _shards(answer)
    if not answer["files"]:
        yield ProbeProblem(f"{answer['path']} has no weights", path)
    elif answer.get("configuration") is False:
        yield ProbeProblem(f"{answer['path']} has no config.json", path)


def _shards(answer: Answer) -> Iterator[ProbeProblem]:
    missing, broken = answer.get("missing"), answer.get("broken")
    again = "Download the checkpoint again, or copy the missing files."
    if missing and missing["count"]:
        names = ", ".join(missing["names"])
        text = f"{missing['count']} of {answer['files']} files of {answer['path']} are missing: {names}"
        yield ProbeProblem(text, again)
    if broken and broken["count"]:
        names = ", ".join(f"{name} ({why})" for name, why in broken["names"].items())
        what = "1 file" if broken["count"] == 1 else f"{broken['count']} files"
        yield ProbeProblem(f"{what} of {answer['path']} incomplete: {names}", again)
    total = answer.get("total")
    if total and answer["size"] < total and not any(item and item["count"] for item in (missing, broken)):
        text = f"the files of {answer['path']} have {answer['size']} bytes, but their index says {total}"
        fix = "Compare them with their source: the index may belong to another copy."
        yield ProbeProblem(text, fix, CheckStatus.WARN)


def weights_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the size of the checkpoint."""
    first = answers[0]
    files = "1 file" if first["files"] == 1 else f"{first['files']} files"
    return f"{first['path']} is complete in every pod: {files}, {first['size'] / 1e9:.3g} GB"
