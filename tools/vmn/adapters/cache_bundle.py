"""Caches of pods on disk: reading them through a command's output, and writing them as a cache bundle."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vmn.core.cache_bundle import CONTENT, DESCRIPTION, ROOT, Origin, Share, description, folders, is_taken
from vmn.core.reporting import Say

TAR = (
    f'cd "${ROOT}" && for one in "$@"; do [ ! -d "$one" ] || there+=("$one"); done && '
    '{ tar --format=posix -czf - "${there[@]}" || [ $? = 1 ]; }'
)
"""Status 1: a file changed meanwhile, as a server compiles now and then; either version of the file is fine."""


class NotPackedError(Exception):
    """The caches of a release can't be packed; the message says why, and what to do."""


@contextmanager
def reader(command: Sequence[str]) -> Iterator[IO[bytes]]:
    """Yield the standard output of a command, and check at the end that the command succeeded.

    Raises:
        NotPackedError: the command failed.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout
        broken: Exception | None = None
        try:
            yield process.stdout
            process.stdout.read()
        except (tarfile.TarError, EOFError) as error:
            process.kill()
            broken = error
        if process.wait() or broken:
            errors.seek(0)
            raise NotPackedError(errors.read().decode(errors="replace").strip() or str(broken)) from broken


def add_share(bundle: tarfile.TarFile, pod: str, stream: IO[bytes], seen: set[str]) -> Share:
    """Add the files of a pod that no earlier pod had to a cache bundle.

    Args:
        bundle: the archive.
        pod: name of the pod.
        stream: the pod's ``.tar.gz``.
        seen: names of the files that the bundle has; the new ones are added.

    Raises:
        tarfile.TarError: the stream is broken.
        EOFError: the stream ends too soon.
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
            member.pax_headers = {}  # or a long name would keep its old value
            member.mtime = int(member.mtime)  # unpacking may round it, and ninja rebuilds what is newer
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            content = archive.extractfile(member) if member.isfile() else None
            member.name = f"{CONTENT}/{member.name}"
            bundle.addfile(member, content)
    return Share(pod, files, size, new)


def write_archive(file: Path, origin: Origin, sources: Mapping[str, Sequence[str]], say: Say) -> list[Share]:
    """Write a cache bundle as a ``.tar.gz``, and return what each pod contributed.

    Args:
        file: file to write.
        origin: where the caches are from.
        sources: for each pod the command that prints its caches as a ``.tar.gz``.
        say: takes a line for each pod.

    Raises:
        NotPackedError: a command failed.
    """
    shares, seen = list[Share](), set[str]()
    with tarfile.open(file, "w:gz", format=tarfile.PAX_FORMAT) as bundle:
        for pod, command in sources.items():
            with reader(command) as stream:
                share = add_share(bundle, pod, stream, seen)
            shares.append(share)
            say(f"{pod}: {share.files} files, {share.size / 1e6:.1f} MB; {share.new} that no earlier pod had")
        text = description(origin, shares).encode()
        member = tarfile.TarInfo(DESCRIPTION)
        member.size, member.mode = len(text), 0o644
        bundle.addfile(member, io.BytesIO(text))
    return shares


def printing(env: Mapping[str, str]) -> list[str]:
    """Return the command that prints the caches of a pod, to run in a pod with these environment variables.

    Raises:
        ValueError: the variables name no cache directory.
    """
    return ["bash", "-c", TAR, "tar", *folders(env)]
