"""The whole cluster: up, down and how it is."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from localcluster import addons, controlplane, engine, kernel, network, node, programs, progress, simulated, versions
from localcluster.cache import cache_dir, locked, state_dir
from localcluster.host import HostError, make_hint, require_linux_root, require_packages, run, say, step
from localcluster.instance import INSTANCE, OTHERS, Instance
from localcluster.kubectl import has_condition, items, kubeconfig, patch_status
from localcluster.node import FEWEST, FIRST, Node, numbered, present
from localcluster.parallel import Task, run_all, together
from localcluster.processes import kill, kill_all, kill_members, members, pid_of, wait_until
from localcluster.programs import bin_dir

SIMULATED_NODES = 4
"""Simulated nodes by default: 32 H100."""

HOST_ROOT = "/var/lib/vllm-multinode"
"""Directory of the real nodes with what hostPath volumes may mount."""

ENGINE_FOLDER = f"{HOST_ROOT}/engine"
"""The engine's Python packages, read-only."""

MODEL_FOLDER = f"{HOST_ROOT}/models/tiny"
"""The tiny model's checkpoint, read-only."""

CACHE_FOLDER = f"{HOST_ROOT}/cache"
"""Writable by everybody, shared by the nodes, kept in the user cache when the cluster goes down."""

_CONTROL_PLANE = "control plane, nodes and their images"
_KUBELETS = "kubelets, CoreDNS and LeaderWorkerSet"
_ENGINE = "engine on the nodes"
_READY = "all ready"
_STEPS = {_CONTROL_PLANE: 6, _KUBELETS: 6, _ENGINE: 6}
"""Steps of a new cluster -> seconds that they take on two cores."""

_FOLDERS = "made-folders"
"""File of the state directory: what was made on this machine to mount nodes' directories on."""

_NODES_TIMEOUT_S = 90
_RECOVER_TIMEOUT_S = 45


@dataclass(frozen=True)
class Options:
    """What a cluster is made with.

    Attributes:
        simulated_nodes: number of simulated nodes with eight H100 each.
        engine: whether vLLM's CPU engine, its image and the tiny model are on the real nodes.
        real_nodes: real nodes at least; a cluster that runs gets the missing ones, and loses none.
        versions: name of the set of versions that it has; a new cluster gets the chosen one.
    """

    simulated_nodes: int = SIMULATED_NODES
    engine: bool = True
    real_nodes: int = FEWEST
    versions: str = ""


@dataclass(frozen=True)
class Status:
    """How the cluster is.

    Attributes:
        up: whether it was brought up to the end and all of it runs.
        kubeconfig: the file that gives access, if there is a cluster.
        options: what it was made with, if it was brought up to the end.
        programs: daemon or program of the control plane -> whether it runs.
        nodes: name of a node -> whether it is ready.
        addons: addon -> whether it is available.
        problem: why the API server can't be asked, else empty.
    """

    up: bool
    kubeconfig: str | None
    options: dict[str, Any] | None
    programs: dict[str, bool]
    nodes: dict[str, bool]
    addons: dict[str, bool]
    problem: str


def up(options: Options) -> None:
    """Bring the cluster up, or find that it is and bring it in line with ``options``.

    A cluster that is broken, half made or half gone is removed first.

    Raises:
        HostError: this machine can't have it, a cluster with other versions is there, or a step fails; what is there
            by then stays for a look at its logs.
    """
    require_linux_root()
    _refuse_other_versions()
    with progress.board(expected(options)):
        require_packages()
        engine = _prepare(options)
        with locked(cache_dir() / INSTANCE.name):
            _bring_up(options, engine)


def expected(options: Options) -> dict[str, float]:
    """Return the steps that are still to be done, with the seconds that each takes on two cores."""
    made = engine.expected() if options.engine else {}
    return {**programs.expected(), **made, **({} if _marker().exists() else _STEPS), _READY: 5}


def _refuse_other_versions() -> None:
    """Refuse to use, or to replace, a cluster whose programs have other versions than the chosen ones."""
    chosen = versions.CHOSEN.name
    if not _marker().exists() or (there := made_with().versions) == chosen:
        return
    has, wants = (f"the versions {name}" if name else "the usual versions" for name in (there, chosen))
    raise HostError(
        f"the cluster has {has}, and this command asks for {wants}. Remove the cluster first "
        f'({make_hint("cluster-down")}), or set {versions.VARIABLE}="{there}".'
    )


def _bring_up(options: Options, own: engine.Engine | None) -> None:
    if _healthy():
        has_engine = made_with().engine
    else:
        if members() or state_dir().exists():
            with step("removing what an earlier cluster left"):
                _remove()
        _create()
        has_engine = False
    _add_nodes(options.real_nodes)
    together(partial(_all_ready, options.simulated_nodes), *([partial(_bring_engine, own)] if own else []))
    with_engine, chosen = options.engine or has_engine, versions.CHOSEN.name
    made = replace(options, engine=with_engine, real_nodes=len(present()), versions=chosen)
    _marker().write_text(json.dumps(asdict(made)))


def _all_ready(simulated_nodes: int) -> None:
    with step(_READY):
        simulated.scale(simulated_nodes)
        addons.wait_ready()
        _wait_nodes(simulated_nodes)


def down() -> None:
    """End every process of the cluster and remove all of its traces but the caches.

    Raises:
        HostError: this machine can't have had it, or something can't be removed.
    """
    require_linux_root()
    with locked(cache_dir() / INSTANCE.name), step("removing the cluster"):
        _remove()
        if left := traces():
            raise HostError("not all could be removed: " + ", ".join(left))


def traces() -> list[str]:
    """Return what there is on this machine of the cluster beside the caches: nothing after ``down``."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    own = (str(state_dir()), HOST_ROOT)
    return [
        *(f"process {pid}" for pid in sorted(members())),
        *(f"mount {point}" for point in mounts if point.startswith(own)),
        *(str(path) for path in (state_dir(), network.interface()) if path.exists()),
    ]


def status() -> Status:
    """Return how the cluster is; asks, changes nothing."""
    programs = controlplane.running() | {network.SWITCH: pid_of(network.SWITCH) is not None}
    for real in present():
        programs |= node.running(real)
    made = asdict(made_with()) if _marker().exists() else None
    ready: dict[str, bool] = {}
    available: dict[str, bool] = {}
    problem = ""
    if kubeconfig().exists():
        try:
            ready = {item["metadata"]["name"]: has_condition(item, "Ready") for item in items("nodes")}
            available = addons.available()
        except HostError as error:
            problem = str(error)
    good = bool(ready) and all([*programs.values(), *ready.values(), *available.values()])
    access = str(kubeconfig()) if kubeconfig().exists() else None
    return Status(good and made is not None, access, made, programs, ready, available, problem)


def made_with() -> Options:
    """Return what the cluster was made with.

    Raises:
        OSError: no cluster has been started completely.
    """
    return Options(**json.loads(_marker().read_text()))


def load_image(archive: Path) -> None:
    """Load an image from a docker-archive tar into the image stores of all real nodes.

    Raises:
        HostError: the cluster isn't up, or containerd refuses the image.
    """
    together(*(partial(node.import_image, real, archive.resolve()) for real in present()))


def on_node(name: str, argv: list[str]) -> int:
    """Run a program on a real node, with its network and directories, and return its exit status.

    Raises:
        HostError: the node does not exist, or does not run.
    """
    return subprocess.run([str(part) for part in _node(name).enter(argv)], check=False).returncode


def lose(name: str) -> None:
    """End a real node as a power failure does: first its cable, then its daemons and containers, without a message.

    ``up`` brings it back.

    Raises:
        HostError: the node does not exist, all others need it, or its processes can't be ended.
    """
    real = _node(name)
    if real == FIRST:
        raise HostError(f"{name} has CoreDNS and LeaderWorkerSet: lose another")
    run(real.enter(["ip", "link", "set", "eth0", "down"]))
    kill(real.daemons.values())
    kill_members(real.name)


def stop_kubelet(name: str) -> None:
    """End the kubelet of a real node; its containers go on.

    Raises:
        HostError: the node does not exist.
    """
    kill([_node(name).daemons["kubelet"]])


def start_kubelet(name: str) -> None:
    """Start the kubelet of a real node, if it doesn't run.

    Raises:
        HostError: the node does not exist, or its namespaces are gone.
    """
    real = _node(name)
    node.start_kubelet(real)
    _advertise_gpus(real)


def _node(name: str) -> Node:
    for real in present():
        if real.name == name:
            return real
    there = ", ".join(real.name for real in present()) or "none"
    raise HostError(f"{name}: no real node; there are {there}")


def _prepare(options: Options) -> engine.Engine | None:
    """Make everything that the cluster consists of, side by side; return the engine if it is wanted."""
    images = Task("images", lambda: [image.file() for image in addons.IMAGES], needs=programs.CLUSTER)
    run_all([*programs.tasks(), images, *(engine.tasks() if options.engine else [])])
    return engine.prepare() if options.engine else None


def _marker() -> Path:
    return state_dir() / "cluster.json"


def _healthy() -> bool:
    if not _marker().exists():
        return False
    now = status()
    dead = {name for name, runs in now.programs.items() if not runs}
    restartable = {name for real in present() for name in real.daemons.values()}
    if dead:
        again = "starting it again" if dead <= restartable else "recreating the cluster"
        say(f"    {', '.join(sorted(dead))} ended: {again}")
    if not dead <= restartable:
        return False
    network.set_addresses(_holders())
    for real in present() if dead else ():
        node.start_containerd(real, addons.PAUSE.reference)
        node.start_kubelet(real)
        _advertise_gpus(real)
    try:
        wait_until("healthy cluster", lambda: status().up, timeout=_RECOVER_TIMEOUT_S)
    except HostError:
        say("    the cluster's programs run, but it is not healthy: recreating it")
        return False
    say("    the cluster is up")
    return True


def _create() -> None:
    network.refuse_taken_network()
    with _machine():
        state_dir().mkdir(parents=True, exist_ok=True)
        kernel.remember()
        _make_mount_points()
    images = [image.file() for image in addons.IMAGES]
    with step(_CONTROL_PLANE):
        together(_create_control_plane, lambda: _start_first_nodes(images))
    with step(_KUBELETS):
        for real in present():
            node.start_kubelet(real)
        together(addons.install_dns, addons.install_lws)
        _wait_nodes(0)
        for real in present():
            _advertise_gpus(real)


def _create_control_plane() -> None:
    """Create the control plane while no other cluster of this machine does.

    kwokctl looks for ports that are free, and two that look at the same time take the same: one API server then uses
    the etcd of the other cluster.
    """
    with _machine():
        controlplane.create()


def _start_first_nodes(images: list[Path]) -> None:
    network.make_switch(bin_dir() / "pause")
    _start_nodes(numbered(FEWEST), images)


def _start_nodes(wanted: Sequence[Node], images: list[Path]) -> None:
    """Make nodes up to their containerd; kubelets need the control plane."""
    shared = cache_dir() / "nodes"
    shared.mkdir(parents=True, exist_ok=True)
    shared.chmod(0o1777)
    for real in wanted:
        node.hold_namespaces(real, bin_dir() / "pause")
        node.mount(real, shared, CACHE_FOLDER)
        network.connect(real.index, real.name)
    network.set_addresses(_holders())
    together(*(partial(_start_runtime, real, images) for real in wanted))


def _add_nodes(count: int) -> None:
    """Add real nodes to a cluster that runs, until it has so many."""
    missing = [real for real in numbered(count) if real not in present()]
    if not missing:
        return
    with step(f"adding {', '.join(real.name for real in missing)}"):
        _start_nodes(missing, [image.file() for image in addons.IMAGES])
        for real in missing:
            node.start_kubelet(real)
        _wait_nodes(0)
        for real in missing:
            _advertise_gpus(real)
    _engine_record().unlink(missing_ok=True)


def _holders() -> dict[int, str]:
    return {real.index: real.name for real in present()}


def _start_runtime(real: Node, images: list[Path]) -> None:
    node.start_containerd(real, addons.PAUSE.reference)
    for image in images:
        node.import_image(real, image)


def _bring_engine(own: engine.Engine) -> None:
    """Put the engine on the nodes, unless it is the one that they have."""
    record = _engine_record()
    wanted = json.dumps(asdict(own), default=str)
    if record.exists() and record.read_text() == wanted:
        return
    with step(_ENGINE):
        together(*(partial(_put_engine, real, own) for real in present()))
    record.write_text(wanted)


def _engine_record() -> Path:
    """Return the file that says which engine all nodes have."""
    return state_dir() / "engine.json"


def _put_engine(real: Node, own: engine.Engine) -> None:
    for source, folder in ((own.packages_dir, ENGINE_FOLDER), (own.model_dir, MODEL_FOLDER)):
        with contextlib.suppress(HostError):  # pods that run keep what they have mounted
            run(real.enter(["umount", "--lazy", folder]))
        node.mount(real, source, folder, read_only=True)
    node.import_image(real, own.image_tar)


def _advertise_gpus(real: Node) -> None:
    gpus = {"nvidia.com/gpu": str(node.GPUS)}
    patch_status("node", real.name, {"capacity": gpus, "allocatable": gpus})


def _wait_nodes(simulated_nodes: int) -> None:
    names = {real.name for real in present()} | set(simulated.names(simulated_nodes))

    def ready() -> bool:
        return names <= {item["metadata"]["name"] for item in items("nodes") if has_condition(item, "Ready")}

    wait_until(f"readiness of {', '.join(sorted(names))}", ready, timeout=_NODES_TIMEOUT_S)


def _remove() -> None:
    kill_all()
    network.disconnect()
    with _machine():
        if not any(state_dir(other).exists() for other in OTHERS):  # else the last cluster of this machine does it
            kernel.restore()
            for folder in reversed(_made_folders()):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if state_dir().exists():
            shutil.rmtree(state_dir())


def _machine() -> AbstractContextManager[None]:
    """Hold the lock on what the clusters of this machine share: the kernel's settings, and directories to mount on."""
    return locked(cache_dir() / "machine")


def _make_mount_points() -> None:
    wanted = [*node.mount_points(), Path(ENGINE_FOLDER), Path(MODEL_FOLDER), Path(CACHE_FOLDER)]
    made = [folder for other in OTHERS for folder in _made_folders(other)]
    made += [folder for target in wanted for folder in _missing_parents(target)]
    (state_dir() / _FOLDERS).write_text("\n".join(dict.fromkeys(map(str, made))))
    for target in wanted:
        target.mkdir(parents=True, exist_ok=True)


def _missing_parents(path: Path) -> Iterator[Path]:
    for folder in [*reversed(path.parents), path]:
        if not folder.exists():
            yield folder


def _made_folders(instance: Instance = INSTANCE) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(line) for line in (state_dir(instance) / _FOLDERS).read_text().splitlines()]
    return []
