"""The chart's archive, with Artifact Hub's annotations, and its bill of materials."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from publishing.changelog import Section, annotation
from vmn.app.images import images

NAME = "vllm-multinode"
PACKAGE_LIMIT = 60
"""Seconds; helm takes less than one."""


@dataclass(frozen=True)
class SigningKey:
    """A key of OpenPGP with which Helm signs an archive.

    Attributes:
        name: a part of the name or address that identifies it.
        keyring: file with the secret key, in the binary form that Helm reads.
    """

    name: str
    keyring: Path


def metadata(chart: Path) -> dict[str, Any]:
    """Return the content of Chart.yaml."""
    return dict(yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8")))


def chart_images(chart: Path) -> list[str]:
    """Return the images of a release with the chart's defaults."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("model: {name: example/model}\n")
        file.flush()
        return [item.source for item in images(chart, [Path(file.name)]) if item.kind == "image"]


def package(chart: Path, section: Section, out: Path, key: SigningKey | None = None) -> Path:
    """Write the chart's archive, and beside it ``.prov`` where there is a key.

    Args:
        chart: directory of the chart.
        section: the changes of its version.
        out: directory for the archive.
        key: the key to sign it with.

    Returns:
        the archive.

    Raises:
        subprocess.CalledProcessError: Helm fails.
        MissingError: Helm is not on PATH.
    """
    with tempfile.TemporaryDirectory() as directory:
        staged = Path(directory) / NAME
        shutil.copytree(chart, staged)
        content = metadata(chart)
        content["annotations"] = {**content["annotations"], **release_annotations(section, chart_images(chart))}
        (staged / "Chart.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        signing = ["--sign", "--key", key.name, "--keyring", str(key.keyring)] if key else []
        command = ["helm", "package", str(staged), "--destination", str(out), *signing]
        subprocess.run(command, check=True, timeout=PACKAGE_LIMIT, stdout=subprocess.DEVNULL)
    return out / f"{NAME}-{content['version']}.tgz"


def release_annotations(section: Section, references: Sequence[str]) -> Mapping[str, str]:
    """Return the annotations that depend on the version; Chart.yaml has the others."""
    shown = [{"name": reference.rpartition("/")[2].partition(":")[0], "image": reference} for reference in references]
    security = any(change.kind == "security" for change in section.changes)
    return {
        "artifacthub.io/containsSecurityUpdates": str(security).lower(),
        "artifacthub.io/changes": yaml.safe_dump(annotation(section), sort_keys=False, allow_unicode=True),
        "artifacthub.io/images": yaml.safe_dump(shown, sort_keys=False),
    }


def bill_of_materials(chart: Path) -> str:
    """Return the chart and its images as JSON of CycloneDX 1.6."""
    content = metadata(chart)
    version = str(content["version"])
    whole = Component(
        name=NAME, version=version, type=ComponentType.APPLICATION, purl=PackageURL("helm", None, NAME, version)
    )
    bom = Bom(components=[_image(reference) for reference in chart_images(chart)])
    bom.metadata.component = whole
    bom.register_dependency(whole, bom.components)
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _image(reference: str) -> Component:
    name, _, digest = reference.partition("@")
    name, _, tag = name.rpartition(":")
    namespace, _, base = name.rpartition("/")
    version = digest or tag
    purl = PackageURL("docker", namespace or None, base, version)
    return Component(name=name, version=version, type=ComponentType.CONTAINER, purl=purl)
