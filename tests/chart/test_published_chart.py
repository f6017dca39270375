"""The chart in a registry: what a user pulls is what was built, signed, and described."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from kit.cluster import run
from kit.paths import CHART, CHECKOUT
from kit.published import PLAIN, Keys, environment, new_keys, registry, verify
from kit.render import helm_program
from localcluster.programs import program
from publishing.changelog import KINDS, section_of
from publishing.chart import NAME, bill_of_materials, chart_images, metadata, package
from publishing.registry import Pushed, push, sign
from vmn.adapters.programs import Done
from vmn.app.images import images

pytestmark = pytest.mark.slow
VERSION = str(metadata(CHART)["version"])


@dataclass(frozen=True)
class Published:
    """A chart in a registry, and the archive and the keys that it was made with."""

    archive: Path
    pushed: Pushed
    keys: Keys


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set the variables of Helm and cosign."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("client")).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def published(variables: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Publish the chart as the release workflow does, with a key in place of the workflow's identity."""
    directory = tmp_path_factory.mktemp("published")
    keys = new_keys(directory / "keys")
    section = section_of((CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"), VERSION)
    archive = package(CHART, section, directory, keys.openpgp)
    bill = directory / "chart.cdx.json"
    bill.write_text(bill_of_materials(CHART), encoding="utf-8")
    with registry(directory) as there:
        pushed = push(archive, there)
        sign(pushed, there, keys.cosign, bill)
        yield Published(archive, pushed, keys)


def pull(published: Published, directory: Path, *options: str, suffix: str = "", check: bool = True) -> Done:
    """Pull the chart, by its tag or its digest."""
    address = f"oci://{published.pushed.reference}{suffix}"
    return run(str(helm_program()), "pull", address, PLAIN, "--destination", str(directory), *options, check=check)


@pytest.mark.parametrize("by", ["version", "digest"])
def test_chart_is_pulled_as_it_was_built(published: Published, tmp_path: Path, by: str) -> None:
    if by == "version":
        pull(published, tmp_path, f"--version={VERSION}")
    else:
        pull(published, tmp_path, suffix=f"@{published.pushed.digest}")
    (pulled,) = tmp_path.iterdir()
    assert pulled.read_bytes() == published.archive.read_bytes()


def test_provenance_is_verified_when_the_key_is_the_right_one(published: Published, tmp_path: Path) -> None:
    done = pull(published, tmp_path, f"--version={VERSION}", "--verify", f"--keyring={published.keys.public_ring}")
    assert "Signed by: release" in done.stdout + done.stderr


def test_provenance_is_refused_when_somebody_else_signed(published: Published, tmp_path: Path) -> None:
    other = new_keys(tmp_path / "other", "somebody")
    options = [f"--version={VERSION}", "--verify", f"--keyring={other.public_ring}"]
    refused = pull(published, tmp_path, *options, check=False)
    assert refused.code == 1
    assert "signature made by unknown entity" in refused.stderr


def test_provenance_is_refused_when_the_archive_was_changed(published: Published, tmp_path: Path) -> None:
    changed = tmp_path / published.archive.name
    changed.write_bytes(published.archive.read_bytes() + b"\0")
    beside = published.archive.with_name(f"{published.archive.name}.prov")
    changed.with_name(beside.name).write_bytes(beside.read_bytes())
    check = [str(helm_program()), "verify", str(changed), f"--keyring={published.keys.public_ring}"]
    refused = run(*check, check=False)
    assert refused.code == 1
    assert "sha256 sum does not match" in refused.stderr


def test_signature_of_cosign_belongs_to_this_chart_and_this_key(published: Published, tmp_path: Path) -> None:
    claims = json.loads(verify(published.pushed.pinned, published.keys.cosign_public).stdout)
    assert {claim["critical"]["image"]["docker-manifest-digest"] for claim in claims} == {published.pushed.digest}
    other = new_keys(tmp_path / "other")
    assert verify(published.pushed.pinned, other.cosign_public, check=False).code != 0


def test_chart_without_a_signature_is_not_verified(published: Published, tmp_path: Path) -> None:
    unsigned = tmp_path / "other.tgz"
    run(str(helm_program()), "package", str(CHART), "--version=9.9.9", f"--destination={tmp_path}")
    (unsigned,) = tmp_path.glob("*.tgz")
    reference = published.pushed.reference
    run(str(helm_program()), "push", str(unsigned), f"oci://{reference.rpartition('/')[0]}", PLAIN)
    assert verify(f"{reference}:9.9.9", published.keys.cosign_public, check=False).code != 0


def archived(published: Published) -> dict[str, Any]:
    """Return the Chart.yaml of the archive."""
    with tarfile.open(published.archive) as archive:
        file = archive.extractfile(f"{NAME}/Chart.yaml")
        assert file
        return dict(yaml.safe_load(file.read()))


def test_archive_has_the_annotations_of_artifact_hub(published: Published) -> None:
    """As docs/helm_annotations.md of artifacthub/hub has them; its linter is not a Go module that can be had."""
    content = archived(published)["annotations"]
    assert all(isinstance(value, str) for value in content.values())
    changes = yaml.safe_load(content["artifacthub.io/changes"])
    assert {change["kind"] for change in changes} <= set(KINDS)
    assert all(set(change) == {"kind", "description"} and "](" not in change["description"] for change in changes)
    (image,) = yaml.safe_load(content["artifacthub.io/images"])
    assert image["image"] in {item.source for item in images(CHART, [CHECKOUT / "values" / "deepseek-r1.yaml"])}
    assert all(set(link) == {"name", "url"} for link in yaml.safe_load(content["artifacthub.io/links"]))
    assert content["artifacthub.io/license"] == "Apache-2.0"
    assert content["artifacthub.io/containsSecurityUpdates"] in ("true", "false")


def test_bill_of_materials_is_valid_and_names_the_images(variables: None) -> None:
    text = bill_of_materials(CHART)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {f"{one['name']}:{one['version']}" for one in json.loads(text)["components"]}
    assert found == set(chart_images(CHART))
    broken = text.replace('"type": "container"', '"type": "box"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_bill_of_materials_is_attested(published: Published) -> None:
    options = [f"--key={published.keys.cosign_public}", "--insecure-ignore-tlog=true", "--allow-http-registry"]
    command = [str(program("cosign")), "verify-attestation", "--type=cyclonedx", *options]
    attested = json.loads(run(*command, published.pushed.pinned).stdout.splitlines()[0])
    statement = json.loads(base64.b64decode(attested["payload"]))
    assert statement["predicateType"] == "https://cyclonedx.org/bom"
    assert statement["predicate"]["metadata"]["component"]["version"] == VERSION
