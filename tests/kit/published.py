"""A registry on this machine, keys for one test, and the chart as a release puts it there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.cluster import background, run
from kit.paths import CHART
from kit.render import helm_program
from localcluster.programs import program
from publishing.chart import SigningKey, metadata
from publishing.registry import Registry
from vmn.adapters.programs import Done

PLAIN = "--plain-http"
"""Helm's option for a registry without TLS."""


@dataclass(frozen=True)
class Keys:
    """Keys made for one test.

    Attributes:
        openpgp: with which Helm signs.
        public_ring: with which Helm verifies.
        cosign: private key of cosign, without a password.
        cosign_public: its public key.
    """

    openpgp: SigningKey
    public_ring: Path
    cosign: Path
    cosign_public: Path


def new_keys(directory: Path, name: str = "release") -> Keys:
    """Make keys in a directory, which is created.

    Raises:
        ProgramFailed: a program fails.
    """
    directory.mkdir()
    run(str(program("openpgp-key")), name, str(directory))
    prefix = directory / "cosign"
    run("env", "COSIGN_PASSWORD=", str(program("cosign")), "generate-key-pair", f"--output-key-prefix={prefix}")
    key = SigningKey(name, directory / "secret.gpg")
    return Keys(key, directory / "public.gpg", prefix.with_suffix(".key"), prefix.with_suffix(".pub"))


@contextmanager
def registry(directory: Path) -> Iterator[Registry]:
    """Serve an empty registry on the loopback interface, with its files in a directory.

    Raises:
        ProgramFailed: it does not come up.
    """
    config = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}},
        "http": {"addr": "127.0.0.1:0", "secret": "for one test"},
    }
    file = directory / "registry.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    with background(str(program("registry")), str(file), ready=r"listening on (127\.0\.0\.1:\d+)") as found:
        yield Registry(f"{found[1]}/charts", plain_http=True)


def environment(directory: Path) -> Mapping[str, str]:
    """Return variables with which Helm and cosign find each other, and nothing of the user's registries."""
    programs = os.pathsep.join(str(file.parent) for file in (helm_program(), program("cosign")))
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "COSIGN_PASSWORD": "",
        "DOCKER_CONFIG": str(directory),
        "HELM_REGISTRY_CONFIG": str(directory / "helm-registries.json"),
    }


def verify(reference: str, public_key: Path, *, check: bool = True) -> Done:
    """Verify a chart's signature in a registry without TLS, as ``cosign verify`` does with a key.

    Raises:
        ProgramFailed: nothing there is signed with this key.
    """
    options = [f"--key={public_key}", "--insecure-ignore-tlog=true", "--allow-http-registry"]
    return run(str(program("cosign")), "verify", *options, reference, check=check)


def chart_version() -> str:
    """Return the version of this tree's chart."""
    return str(metadata(CHART)["version"])
