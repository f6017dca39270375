"""Packing the caches of a group that serves, through ``kubectl exec``."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vmn.adapters import oci_archive
from vmn.adapters.cluster import Read, gather
from vmn.adapters.programs import require, run
from vmn.core.cache_bundle import CONTENT, DESCRIPTION, ROOT, Origin, Share, description, folders, is_taken, settings
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.snapshot import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

ASK_SECONDS = 30
TAR = (
    f'cd "${ROOT}" && for one in "$@"; do [ ! -d "$one" ] || there+=("$one"); done && '
    '{ tar --format=posix -czf - "${there[@]}" || [ $? = 1 ]; }'
)
"""Status 1: a file changed meanwhile, as a server that works compiles now and then; it is as good before as after."""
GPU = "nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1; uname -m"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Names of the kernel, and of OCI images."""
Say = Callable[[str], None]


class NotPackedError(Exception):
    """The release has no group whose caches can be packed; the message says why, and what to do."""


def serving_group(client: ApiClient, namespace: str, release: str) -> Group:
    """Return the first group of a release that serves.

    Raises:
        MissingError: the server can't be reached.
        NotPackedError: there is none.
    """
    reads = [Read("leaderworkersets", "leaderworkerset.x-k8s.io/v1", namespace), Read("pods", "v1", namespace)]
    groups = Release(release, namespace, gather(client, reads), 0.0).groups
    if not groups:
        raise NotPackedError(f"There is no LeaderWorkerSet {release} in namespace {namespace}.")
    ready = next((group for group in groups if group.serving), None)
    if ready is None:
        raise NotPackedError(
            f"No group of {release} serves, so its caches are not whole. Wait for it, or ask `vmn doctor {release}`."
        )
    return ready


@contextmanager
def reader(command: Sequence[str]) -> Iterator[IO[bytes]]:
    """Give the standard output of a command, and check at the end that it went well.

    Raises:
        NotPackedError: it failed.
    """
    with tempfile.TemporaryFile() as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as process:
        assert process.stdout
        broken: Exception | None = None
        try:
            yield process.stdout
            process.stdout.read()
        except (tarfile.TarError, EOFError) as error:
            process.kill()
            broken = error
        if process.wait() or broken:
            said.seek(0)
            raise NotPackedError(said.read().decode(errors="replace").strip() or str(broken)) from broken


def add_share(bundle: tarfile.TarFile, pod: str, stream: IO[bytes], seen: set[str]) -> Share:
    """Add what a pod has, and no pod before it had, to a bundle.

    Args:
        bundle: the archive.
        pod: its name.
        stream: its ``.tar.gz``.
        seen: names that are there; grows.

    Raises:
        tarfile.TarError: the stream is broken.
        EOFError: it ends too soon.
    """
    files = size = new = 0
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()) or not is_taken(member.name):
                continue
            files, size = files + member.isfile(), size + member.size
            if member.name in seen:
                continue
            seen.add(member.name)
            new += member.isfile()
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}  # a long name would stay the old one
            member.mtime = int(member.mtime)  # whole: who unpacks may round, and ninja builds anew what is newer
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            content = archive.extractfile(member) if member.isfile() else None
            member.name = f"{CONTENT}/{member.name}"
            bundle.addfile(member, content)
    return Share(pod, files, size, new)


def write_archive(file: Path, origin: Origin, sources: Mapping[str, Sequence[str]], say: Say) -> list[Share]:
    """Write a bundle as a ``.tar.gz``, and return what each pod gave.

    Args:
        file: to write.
        origin: what the bundle says of itself.
        sources: pod -> the command that prints its caches as a ``.tar.gz``.
        say: gets a line for each pod.

    Raises:
        NotPackedError: a command failed.
    """
    shares, seen = list[Share](), set[str]()
    with tarfile.open(file, "w:gz", format=tarfile.PAX_FORMAT) as bundle:
        for pod, command in sources.items():
            with reader(command) as stream:
                share = add_share(bundle, pod, stream, seen)
            shares.append(share)
            say(f"{pod}: {share.files} files, {share.size / 1e6:.1f} MB; {share.new} that no pod before it had")
        text = description(origin, shares).encode()
        member = tarfile.TarInfo(DESCRIPTION)
        member.size, member.mode = len(text), 0o644
        bundle.addfile(member, io.BytesIO(text))
    return shares


def printing(env: Mapping[str, str]) -> list[str]:
    """Return the command that prints the caches of a pod with these variables, where it is run.

    Raises:
        ValueError: it has no root of caches.
    """
    return ["bash", "-c", TAR, "tar", *folders(env)]


def pack(
    kubectl: Sequence[str], group: Group, file: Path | None, oci: bool, say: Say
) -> tuple[Path, Origin, list[Share]]:
    """Write the bundle of a group's caches; the file appears when it is whole.

    Args:
        kubectl: the program, with options that choose cluster and namespace.
        group: one that serves.
        file: to write, named by the caches' key when None.
        oci: as an OCI image, else as an archive.
        say: gets a line for each pod.

    Returns:
        The file, where its content is from, and what each pod gave.

    Raises:
        MissingError: kubectl is not on PATH.
        NotPackedError: a pod can't be read.
        OSError: the file can't be written.
    """
    require(["kubectl"])
    sources = {pod.name: [*_exec(kubectl, pod), *_printing(pod)] for pod in group.pods}
    origin = _origin(kubectl, group.pods[0])
    file = file or Path(f"{origin.key}{'.oci.tar' if oci else '.tar.gz'}")
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".vmn-cache-") as folder:
        whole = layer = Path(folder, "layer.tar.gz")
        shares = write_archive(layer, origin, sources, say)
        if oci:
            whole = Path(folder, "image.tar")
            oci_archive.write(whole, layer, origin.architecture, _annotations(origin), origin.key)
        whole.replace(file)
    return file, origin, shares


def _annotations(origin: Origin) -> dict[str, str]:
    return {
        "org.opencontainers.image.created": origin.created,
        "org.opencontainers.image.title": f"caches of {origin.key} on {origin.gpu}",
    }


def _printing(pod: Pod) -> list[str]:
    try:
        return printing(settings(_container(pod)))
    except ValueError as error:
        raise NotPackedError(f"{pod.name} can't be packed: {error}.") from error


def _container(pod: Pod) -> Object:
    found: Object = next(item for item in pod.item["spec"]["containers"] if item["name"] == f"vllm-{pod.role}")
    return found


def _exec(kubectl: Sequence[str], pod: Pod) -> list[str]:
    return [*kubectl, "exec", pod.name, "--container", f"vllm-{pod.role}", "--"]


def _origin(kubectl: Sequence[str], leader: Pod) -> Origin:
    done = run([*_exec(kubectl, leader), "bash", "-c", GPU], ASK_SECONDS)
    if done.code:
        raise NotPackedError(f"kubectl exec {leader.name} failed: {done.stderr.strip()}")
    *names, machine = done.stdout.split("\n")[:-1]
    container = _container(leader)
    return Origin(
        key=Path(settings(container)[ROOT]).name,
        gpu=names[0] if names else "none",
        architecture=ARCHITECTURES.get(machine, machine),
        image=str(container["image"]),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
