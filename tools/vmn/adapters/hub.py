"""The Hugging Face Hub: the configuration of a model, and the headers of its files."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from vmn.adapters.checkpoint import INDEX, ONE_FILE, CheckpointError, files_of_index, read_header
from vmn.core.planning.model.checkpoint_sizes import Tensor

ENDPOINT = "https://huggingface.co"
"""Unless ``HF_ENDPOINT`` names a mirror."""
REVISION = "main"
TIMEOUT = 30
"""Seconds for each request."""
AT_ONCE = 8
"""Concurrent requests for the headers of many files."""
LARGEST = 200_000_000
"""Most bytes that are read of an answer."""


class HubError(Exception):
    """The Hub can't be asked; the message says why, and what to do."""


def hub_config(model: str) -> dict[str, Any]:
    """Return a model's ``config.json``.

    Raises:
        HubError: there is none, or the Hub can't be reached.
    """
    return _fields(model, "config.json")


def hub_quantization(model: str, file: str) -> dict[str, Any] | None:
    """Return a model's file about its quantization, None when it has none.

    Raises:
        HubError: the file has no fields, or the Hub can't be reached.
    """
    try:
        return _fields(model, file)
    except _MissingError:
        return None


def _fields(model: str, file: str) -> dict[str, Any]:
    try:
        content = json.loads(_fetch(model, file))
    except ValueError as error:
        raise HubError(f"{model}: {file} on the Hub is not JSON") from error
    if not isinstance(content, dict):
        raise HubError(f"{model}: {file} on the Hub has no fields")
    return content


def hub_tensors(model: str) -> dict[str, Tensor]:
    """Return the tensors of a model's safetensors files by name, from their headers; nothing when it has none.

    Raises:
        CheckpointError: a file is not a safetensors file.
        HubError: the Hub can't be reached.
    """
    try:
        names = files_of_index(_fetch(model, INDEX))
    except _MissingError:
        names = [ONE_FILE]

    def read(name: str, begin: int, count: int) -> bytes:
        return _fetch(model, name, begin, count)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda name: read_header(name, read), names))
    except _MissingError as error:
        if names == [ONE_FILE]:
            return {}
        raise CheckpointError(f"{error}, and {INDEX} lists it") from error
    return {key: tensor for tensors in found for key, tensor in tensors.items()}


class _MissingError(HubError):
    """A file does not exist."""


def _fetch(model: str, file: str, begin: int = 0, count: int | None = None) -> bytes:
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    url = f"{endpoint.rstrip('/')}/{quote(model)}/resolve/{REVISION}/{quote(file)}"
    if not url.startswith(("https://", "http://")):
        raise HubError(f"HF_ENDPOINT must begin with https:// or http:// (got {endpoint})")
    request = Request(url, headers={"User-Agent": "vmn"})
    if token := os.environ.get("HF_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if count is not None:
        request.add_header("Range", f"bytes={begin}-{begin + count - 1}")
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(LARGEST if count is None else begin + count)
            whole = count is not None and answer.status != 206
    except HTTPError as error:
        raise _refused(model, file, error.code) from error
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise HubError(f"{endpoint} can't be reached ({reason}). Use --config with the model's config.json.") from error
    return content[begin:] if whole else content


def _refused(model: str, file: str, status: int) -> HubError:
    if status in (401, 403):
        return HubError(
            f"{model} is gated, private or does not exist (HTTP {status}). Accept its license on its page and set "
            "HF_TOKEN to a token that may read it."
        )
    if status == 404:
        return _MissingError(f"{model} has no {file} on the Hub")
    return HubError(f"{model}: the Hub answers {file} with HTTP {status}. Try again later.")
