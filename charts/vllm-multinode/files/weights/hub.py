"""The Hugging Face Hub, or a mirror of it (HF_ENDPOINT), with errors that say what to do."""

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

from folder import DownloadError, DownloadSpec

TEMPORARY = Path(".cache", "huggingface", "download")
"""Directory in the checkpoint where huggingface_hub keeps incomplete files."""
MISTRALS = "consolidated*"
OTHER_FORMATS = (
    *(MISTRALS, "original/*", "metal/*"),
    *("*.pth", "*.pt", "*.bin", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.tflite", "*.ot"),
)
"""Copies of the weights in other formats than the safetensors that vLLM reads: Mistral's consolidated…, Llama's and
gpt-oss's original/ and metal/, and the formats of PyTorch, TensorFlow, and others."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Unreachable(Exception):  # noqa: N818 - reads as what happened
    """The network or the Hub failed. A retry may help."""


@dataclass(frozen=True)
class File:
    """A file as the Hub describes it. Some mirrors omit a field, which is then None."""

    name: str
    size: int | None
    sha256: str | None
    """Hash of the content, for files in LFS or Xet."""
    blob: str | None
    """Git's own hash, for all other files."""


@dataclass(frozen=True)
class HubSnapshot:
    """A model at a commit, and the files to download."""

    spec: DownloadSpec
    commit: str
    files: list[File]
    left_out: list[str]

    @property
    def size(self) -> int:
        """Bytes of all files whose size the Hub states."""
        return sum(file.size or 0 for file in self.files)

    def marker(self, sizes: dict[str, int]) -> str:
        """Return the text of the marker, with the sizes of the files."""
        found = {"model": self.spec.model, "revision": self.spec.revision, "commit": self.commit, "files": sizes}
        return json.dumps(found, indent=1, sort_keys=True)


class Hub:
    """One model on the Hub."""

    def __init__(self, spec: DownloadSpec) -> None:
        """Choose the endpoint."""
        self.spec = spec
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.api = HfApi(endpoint=self.endpoint)

    def snapshot(self) -> HubSnapshot:
        """Resolve the revision, and choose the files.

        Raises:
            DownloadError: the model or revision does not exist, or the token gives no access to it.
            Unreachable: the Hub does not respond.
        """
        with self._in_words():
            info = self.api.model_info(self.spec.model, revision=self.spec.revision, files_metadata=True)
        if not info.sha:
            raise DownloadError(
                f"{self.endpoint} does not say which commit {self.spec.name} is. Use a mirror that does."
            )
        files = [
            File(item.rfilename, item.size, item.lfs.sha256 if item.lfs else None, None if item.lfs else item.blob_id)
            for item in info.siblings or ()
        ]
        out = _left_out([file.name for file in files], self.spec.exclude)
        wanted = [file for file in files if file.name not in out]
        return HubSnapshot(self.spec, info.sha, wanted, out)

    def download(self, file: File, commit: str, *, force: bool) -> Path:
        """Download one file, and return its path.

        Raises:
            DownloadError: the token gives no access, or the disk is full.
            Unreachable: the Hub does not respond.
        """
        with self._in_words():
            found = hf_hub_download(
                *(self.spec.model, file.name),
                revision=commit,
                local_dir=self.spec.path,
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

    def _worded(self, error: Exception) -> DownloadError | Unreachable:
        model, page = self.spec.model, f"{self.endpoint}/{self.spec.model}"
        token = "The Secret of auth.huggingFace.existingSecret holds the token"
        if isinstance(error, GatedRepoError):
            return DownloadError(f"{model} is gated. Accept its terms at {page} with the token's account. {token}.")
        if isinstance(error, RevisionNotFoundError):
            return DownloadError(f"{model} has no revision {self.spec.revision}. Set model.revision to one of {page}.")
        if isinstance(error, RepositoryNotFoundError):
            return DownloadError(
                f"{self.endpoint} has no model {model}, or shows it to others only. Check model.name. {token} of an "
                f"account that may see it."
            )
        if isinstance(error, HFValidationError):
            return DownloadError(f"{model} is not a valid model name: {error}. Check model.name.")
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        if status in (401, 403):
            return DownloadError(f"{self.endpoint} refuses {model} with status {status}. {token}; is it still valid?")
        return self._disk(error) or Unreachable(f"{self.endpoint}: {type(error).__name__}: {_in_line(error)}")

    def _disk(self, error: Exception) -> DownloadError | None:
        number = error.errno if isinstance(error, OSError) else None
        if number in NO_ROOM or "No space left" in str(error) or "Disk quota" in str(error):
            return DownloadError(
                f"the volume at {self.spec.path} is full. Make it larger (weights.volume.size of a claim that the "
                f"chart makes), or delete what is not needed there; what is complete is not downloaded again."
            )
        if number in NOT_WRITABLE:
            return DownloadError(f"user {os.getuid()} may not write here: {_in_line(error)}. See security.userId.")
        return None


def _left_out(names: Sequence[str], exclude: Sequence[str] | None) -> list[str]:
    """Return the files to leave out: those that match, or by default all formats other than safetensors."""
    if exclude is None:
        taken = [name for name in names if name.endswith(".safetensors") and "/" not in name]
        others = any(not fnmatch(name, MISTRALS) for name in taken)
        exclude = [one for one in OTHER_FORMATS if others or one != MISTRALS] if taken else []
    return [name for name in names if any(fnmatch(name, pattern) for pattern in exclude)]


def _in_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
