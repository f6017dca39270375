"""The files of pytest-helm-charts' Kubernetes client stay private, and none stays behind."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest
import yaml
from pykube import KubeConfig

from kit.clientfiles import PATTERN, left_behind, private_client_files

SECRET = b"not a key, only the test's"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory for temporary files of this test."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def client(tmp_path: Path) -> KubeConfig:
    """Return the client's view of a kubeconfig with a key in it, like that of the local cluster."""
    data = base64.b64encode(SECRET).decode()
    named = {"client-certificate-data": data, "client-key-data": data}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {"name": "test", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": data}}
        ],
        "users": [{"name": "test", "user": named}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return KubeConfig.from_file(file)


def test_key_is_written_where_only_this_user_may_look_and_is_gone_afterwards(
    temporary: Path, client: KubeConfig
) -> None:
    with private_client_files() as directory:
        key = Path(client.user["client-key"].filename())
        assert key.read_bytes() == SECRET
        assert key.parent == directory
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()
    assert list(temporary.iterdir()) == []


def test_key_is_gone_when_the_tests_fail(temporary: Path, client: KubeConfig) -> None:
    with pytest.raises(ValueError, match="a test"), private_client_files():
        client.user["client-key"].filename()
        raise ValueError("a test")
    assert list(temporary.iterdir()) == []


def test_client_alone_leaves_a_key_that_everybody_may_read(temporary: Path, client: KubeConfig) -> None:
    """The reason for all this; when it fails, the client has learned better."""
    key = Path(client.user["client-key"].filename())
    assert left_behind() == {key}
    assert key.match(PATTERN)
    assert key.stat().st_mode & 0o044


def test_key_outside_of_the_folder_is_found(temporary: Path) -> None:
    with pytest.raises(AssertionError, match="keys of the cluster stay"), private_client_files():
        (temporary / "pykube-ng.0.crt").write_bytes(SECRET)
