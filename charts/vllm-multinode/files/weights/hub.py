"""The Hugging Face hub, or a mirror of it (HF_ENDPOINT), with its errors in words."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # the import reads them
os.environ["HF_HUB_OFFLINE"] = "0"

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from folder import Asked, Problem

TEMPORARY = Path(".cache", "huggingface", "download")
"""Where huggingface_hub has files that are not complete, in the checkpoint's folder."""
MISTRALS = "consolidated*"
OTHER_FORMATS = (
    *(MISTRALS, "original/*", "metal/*"),
    *("*.pth", "*.pt", "*.bin", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.tflite", "*.ot"),
)
"""The same weights once more, beside the safetensors that vLLM reads: Mistral's consolidated…, Llama's and gpt-oss's
original/ and metal/, and the forms of PyTorch, TensorFlow and others."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Unreachable(Exception):  # noqa: N818 - reads as what happened
    """The network or the hub failed: worth another try."""


@dataclass(frozen=True)
class File:
    """A file as the hub knows it; None is unknown, which some mirrors leave."""

    name: str
    size: int | None
    sha256: str | None
    """Of the content, for files in LFS or Xet."""
    blob: str | None
    """Git's own hash, for the others."""


@dataclass(frozen=True)
class Snapshot:
    """A model at a commit, and which files of it are wanted."""

    asked: Asked
    commit: str
    files: list[File]
    left_out: list[str]

    @property
    def size(self) -> int:
        """Bytes of all files, as far as the hub says."""
        return sum(file.size or 0 for file in self.files)

    def marker(self, sizes: dict[str, int]) -> str:
        """Return what the marker says, with the sizes of the files."""
        found = {"model": self.asked.model, "revision": self.asked.revision, "commit": self.commit, "files": sizes}
        return json.dumps(found, indent=1, sort_keys=True)


class Hub:
    """One model of the hub."""

    def __init__(self, asked: Asked) -> None:
        """Keep what is asked for."""
        self.asked = asked
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.api = HfApi(endpoint=self.endpoint)

    def snapshot(self) -> Snapshot:
        """Resolve the revision, and choose the files.

        Raises:
            Problem: there is no such model or revision, no access to it, or nothing in it.
            Unreachable: the hub does not answer.
        """
        with self._in_words():
            info = self.api.model_info(self.asked.model, revision=self.asked.revision, files_metadata=True)
        if not info.sha:
            raise Problem(f"{self.endpoint} does not say which commit {self.asked.name} is. Use a mirror that does.")
        files = [
            File(item.rfilename, item.size, item.lfs.sha256 if item.lfs else None, None if item.lfs else item.blob_id)
            for item in info.siblings or ()
        ]
        out = _left_out([file.name for file in files], self.asked.exclude)
        wanted = [file for file in files if file.name not in out]
        return Snapshot(self.asked, info.sha, wanted, out)

    def download(self, file: File, commit: str, *, force: bool) -> Path:
        """Have one file, and return where it is.

        Raises:
            Problem: there is no access, or no room.
            Unreachable: the hub does not answer.
        """
        with self._in_words():
            found = hf_hub_download(
                *(self.asked.model, file.name),
                revision=commit,
                local_dir=self.asked.path,
                endpoint=self.endpoint,
                force_download=force,
            )
        return Path(found)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the library's HTTP client raises: its classes differ between versions
            raise self._worded(error) from error

    def _worded(self, error: Exception) -> Problem | Unreachable:
        model, page = self.asked.model, f"{self.endpoint}/{self.asked.model}"
        token = "The Secret of auth.huggingFace.existingSecret holds the token"
        if isinstance(error, GatedRepoError):
            return Problem(f"{model} is gated. Accept its terms at {page} with the token's account. {token}.")
        if isinstance(error, RevisionNotFoundError):
            return Problem(f"{model} has no revision {self.asked.revision}. Set model.revision to one of {page}.")
        if isinstance(error, RepositoryNotFoundError):
            return Problem(
                f"{self.endpoint} has no model {model}, or shows it to others only. Check model.name. {token} of an "
                f"account that may see it."
            )
        if isinstance(error, HFValidationError):
            return Problem(f"{model} is no name of a model: {error}. Check model.name.")
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        if status in (401, 403):
            return Problem(f"{self.endpoint} refuses {model} with status {status}. {token}; is it still valid?")
        return self._disk(error) or Unreachable(f"{self.endpoint}: {type(error).__name__}: {_in_line(error)}")

    def _disk(self, error: Exception) -> Problem | None:
        number = error.errno if isinstance(error, OSError) else None
        if number in NO_ROOM or "No space left" in str(error) or "Disk quota" in str(error):
            return Problem(
                f"the volume at {self.asked.path} is full. Make it larger (weights.volume.size of a claim that the "
                f"chart makes), or delete what is not needed there; what is complete is not downloaded again."
            )
        if number in NOT_WRITABLE:
            return Problem(f"user {os.getuid()} may not write here: {_in_line(error)}. See security.userId.")
        return None


def _left_out(names: Sequence[str], exclude: Sequence[str] | None) -> list[str]:
    """Return what is not downloaded: as asked for, else the formats beside the safetensors that vLLM takes first."""
    if exclude is None:
        taken = [name for name in names if name.endswith(".safetensors") and "/" not in name]
        others = any(not fnmatch(name, MISTRALS) for name in taken)
        exclude = [one for one in OTHER_FORMATS if others or one != MISTRALS] if taken else []
    return [name for name in names if any(fnmatch(name, pattern) for pattern in exclude)]


def _in_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
