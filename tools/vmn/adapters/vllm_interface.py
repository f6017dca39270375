"""The tables of vLLM's flags and variables that ship with vmn."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vmn.core.values.vllm_interface import Interface, interface_from

FOLDER = Path(__file__).resolve().parent.parent / "data" / "vllm"
IMAGES = re.compile(r"(?:^|/)(?:vllm-openai|vllm-ray)$")
"""Repositories with vLLM as it is published: others may have flags and variables of their own."""
TAG = re.compile(r"v?(\d+\.\d+)(?:[.-].*)?")


def version_of(values: Mapping[str, Any], app_version: str) -> str | None:
    """Return the version that values install, such as ``0.32``, None if the image does not say it.

    Args:
        values: values that include the chart's defaults.
        app_version: the version that the chart installs by default.
    """
    image = values.get("image") or {}
    if not IMAGES.search(str(image.get("repository") or "")):
        return None
    if image.get("digest") and not image.get("tag"):
        return None
    version = TAG.fullmatch(str(image.get("tag") or app_version))
    return version[1] if version else None


@cache
def load_interface(version: str) -> Interface | None:
    """Return the table of a version, such as ``0.32``; None when vmn has none."""
    file = FOLDER / f"{version}.json"
    return interface_from(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


@cache
def load_renamed() -> Mapping[str, str]:
    """Return what to do instead, for flags and variables of other versions."""
    content: Mapping[str, str] = yaml.safe_load((FOLDER / "renamed.yaml").read_text(encoding="utf-8"))
    return content
