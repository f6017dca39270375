"""The chart's downloader: the real huggingface_hub against a small hub, with everything that can go wrong."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.download import INDEX, LIMIT, MODEL, SHARDS, Container, write_model
from kit.paths import CHECKOUT
from kit.scripts import free_port
from kit.smallhub import SmallHub

pytestmark = pytest.mark.slow
WANTED = sorted([*SHARDS, INDEX, "config.json"])


@pytest.fixture
def hub(tmp_path: Path) -> SmallHub:
    """Have a hub with a model of two shards."""
    return SmallHub(write_model(tmp_path / "hub"), MODEL)


@pytest.fixture
def endpoint(hub: SmallHub) -> Iterator[str]:
    """Have it serve."""
    with hub.served() as address:
        yield address


@pytest.fixture
def container(tmp_path: Path, endpoint: str) -> Container:
    """Have a container that downloads from it."""
    return Container(tmp_path / "models" / "tiny", endpoint)


def hold(hub: SmallHub, name: str) -> threading.Event:
    """Let a file stop in its middle until the event that is returned is set."""
    hub.faults.held[name] = threading.Event()
    return hub.faults.held[name]


def wait_for(process: subprocess.Popen[str], folder: Path, *patterns: str) -> None:
    """Wait until files of all patterns are there."""
    deadline = time.monotonic() + LIMIT
    while not all(any(folder.rglob(pattern)) for pattern in patterns):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"not all of {patterns} in {folder}"
        time.sleep(0.02)


def test_download_brings_what_vllm_reads_and_leaves_a_marker(hub: SmallHub, container: Container) -> None:
    code, said = container.run()
    assert code == 0, said
    assert container.files() == WANTED
    assert container.hidden() == {".vllm-multinode.json", ".vllm-multinode.lock"}
    sizes = {name: (hub.directory / name).stat().st_size for name in WANTED}
    assert container.marker() == {"model": MODEL, "revision": "main", "commit": hub.commit, "files": sizes}
    for line in (
        f"{MODEL} at main is commit {hub.commit}: 4 files, 1.0 MiB",
        "left out: consolidated.safetensors, original/consolidated.00.pth, pytorch_model.bin",
        "downloading: 4 of 4 files checked, 1.0 MiB of 1.0 MiB there",
        f"{container.path} is complete: {MODEL} at main, commit {hub.commit}, 4 files, 1.0 MiB",
    ):
        assert f"vllm-multinode: {line}" in said


def test_model_of_consolidated_weights_alone_keeps_them(hub: SmallHub, container: Container) -> None:
    for name in (*SHARDS, INDEX):
        (hub.directory / name).unlink()
    assert container.run()[0] == 0
    assert container.files() == ["config.json", "consolidated.safetensors"]


def test_patterns_replace_what_is_left_out_by_itself(tmp_path: Path, endpoint: str) -> None:
    container = Container(tmp_path / "models" / "tiny", endpoint, exclude=["original/*"])
    assert container.run()[0] == 0
    assert container.files() == sorted([*WANTED, "consolidated.safetensors", "pytorch_model.bin"])


def test_what_is_complete_is_not_asked_for_again(hub: SmallHub, container: Container) -> None:
    assert container.run()[0] == 0
    hub.faults.refuse = (500, "Gone")
    code, said = container.run()
    assert code == 0, said
    assert "is complete" in said


def test_file_that_went_missing_is_downloaded_again(hub: SmallHub, container: Container) -> None:
    assert container.run()[0] == 0
    (container.path / SHARDS[0]).unlink()
    code, said = container.run()
    assert code == 0, said
    assert f"was complete, and now 1 of 4 files are not: {SHARDS[0]}" in said
    assert hub.downloads == {**dict.fromkeys(WANTED, 1), SHARDS[0]: 2}


def test_killed_download_goes_on_with_what_is_not_there_yet(hub: SmallHub, container: Container) -> None:
    rest = hold(hub, SHARDS[1])
    with container.start() as process:
        wait_for(process, container.path, SHARDS[0], "*.incomplete")
        process.kill()
    rest.set()
    assert not (container.path / SHARDS[1]).exists()
    assert list(container.path.rglob("*.incomplete"))
    code, said = container.run()
    assert code == 0, said
    assert container.files() == WANTED
    assert list(container.path.rglob("*.incomplete")) == []
    assert hub.downloads[SHARDS[0]] == 1


def test_torn_file_is_downloaded_again(hub: SmallHub, container: Container) -> None:
    hub.faults.torn = {SHARDS[1]: 1}
    code, said = container.run()
    assert code == 0, said
    assert f"{SHARDS[1]} has the hash " in said
    assert (container.path / SHARDS[1]).read_bytes() == (hub.directory / SHARDS[1]).read_bytes()


@pytest.mark.parametrize("name", [SHARDS[0], "config.json"])
def test_file_that_is_torn_twice_is_refused(hub: SmallHub, container: Container, name: str) -> None:
    hub.faults.torn = {name: 2}
    code, said = container.run()
    assert code == 1
    assert f"error: {name} has the hash " in said
    assert "twice" in said
    assert ".vllm-multinode.json" not in container.hidden()
    assert (container.path / ".vllm-multinode.status").read_text().startswith(f"failed: {name} has the hash ")


def test_hashes_are_not_compared_when_that_is_off(hub: SmallHub, tmp_path: Path, endpoint: str) -> None:
    hub.faults.lies = {SHARDS[0]: "f" * 64}
    assert Container(tmp_path / "off", endpoint, hashes=False).run()[0] == 0
    assert Container(tmp_path / "on", endpoint).run()[0] == 1


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        ((403, "GatedRepo"), f"{MODEL} is gated. Accept its terms at http"),
        ((401, "RepoNotFound"), f"has no model {MODEL}, or shows it to others only"),
        ((401, "Unauthorized"), f"refuses {MODEL} with status 401"),
        ((403, "Forbidden"), f"refuses {MODEL} with status 403"),
        ((404, "RevisionNotFound"), f"{MODEL} has no revision main"),
    ],
    ids=["gated", "not found", "unauthorized", "forbidden", "revision"],
)
def test_refusal_of_the_hub_is_told_with_what_to_do(
    hub: SmallHub, container: Container, refuse: tuple[int, str], words: str
) -> None:
    hub.faults.refuse = refuse
    code, said = container.run()
    assert code == 1
    assert words in said
    assert "error: " in said
    assert "auth.huggingFace.existingSecret" in said or "model.revision" in said


def test_hub_that_is_away_for_a_while_is_asked_again(hub: SmallHub, tmp_path: Path) -> None:
    port = free_port()
    container = Container(tmp_path / "models", f"http://127.0.0.1:{port}")
    with container.start() as process:
        assert process.stdout
        first = process.stdout.readline()
        assert "attempt 1 failed: " in first
        assert "the next one starts in 5 s" in first
        with hub.served(("127.0.0.1", port)):
            said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said


def test_hub_that_does_not_answer_is_told_when_the_time_is_over(tmp_path: Path) -> None:
    container = Container(tmp_path / "models", f"http://127.0.0.1:{free_port()}", seconds=1)
    code, said = container.run()
    assert code == 1
    assert f"{MODEL} at main is not complete after 1 s (weights.download.timeoutSeconds). The last error" in said
    assert "Connect" in said


def test_volume_without_room_is_told_before_the_download(hub: SmallHub, container: Container) -> None:
    container.path.parent.mkdir(parents=True)
    code, said = container.run(inside=f"mount -t tmpfs -o size=512k none {container.path.parent}")
    assert code == 1
    assert "free, and 1.0 MiB are still to come. Make it larger (weights.volume.size" in said
    assert not hub.downloads


def test_volume_that_fills_up_is_told(hub: SmallHub, container: Container) -> None:
    rest = hold(hub, SHARDS[1])
    folder, outside = container.path.parent, hub.directory.parent
    folder.mkdir(parents=True)
    fill = f"(until ls {folder}/tiny/.cache/huggingface/download/*.incomplete; do sleep 0.1; done"
    fill += f"; head -c 3M /dev/zero >{folder}/other; touch {outside}/is-full) >/dev/null 2>&1 &"
    with container.start(inside=f"mount -t tmpfs -o size=2m none {folder}\n{fill}") as process:
        wait_for(process, outside, "is-full")
        rest.set()
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, said
    assert f"error: the volume at {container.path} is full." in said


def test_folder_that_can_not_be_written_is_told(container: Container) -> None:
    container.path.parent.mkdir(parents=True)
    code, said = container.run(inside=f"mount -t tmpfs -o ro none {container.path.parent}")
    assert code == 1
    assert f"{container.path} can't be written by user " in said
    assert "weights.volume.hostPath" in said


def test_index_that_names_a_file_that_is_not_there_is_told(hub: SmallHub, container: Container) -> None:
    (hub.directory / SHARDS[1]).unlink()
    code, said = container.run()
    assert code == 1
    assert f"{INDEX} lists 1 files that the repository lacks or that were left out, such as {SHARDS[1]}" in said


def test_model_without_weights_is_told(hub: SmallHub, tmp_path: Path, endpoint: str) -> None:
    code, said = Container(tmp_path / "models", endpoint, exclude=["*.safetensors", "*.bin", "*.pth"]).run()
    assert code == 1
    assert "none of the 2 downloaded files contains weights" in said


def test_folder_of_another_revision_is_left_alone(tmp_path: Path, endpoint: str, container: Container) -> None:
    assert container.run()[0] == 0
    code, said = Container(container.path, endpoint, revision="v2").run()
    assert code == 1
    assert f"{container.path} holds {MODEL} at main, and {MODEL} at v2 is asked for" in said
    assert container.marker()["revision"] == "main"


def test_commit_of_a_marker_is_the_same_as_its_revision(hub: SmallHub, endpoint: str, container: Container) -> None:
    assert container.run()[0] == 0
    assert Container(container.path, endpoint, revision=hub.commit).run()[0] == 0
    assert hub.downloads == dict.fromkeys(WANTED, 1)


def test_pods_of_one_node_download_once(hub: SmallHub, container: Container) -> None:
    rest = hold(hub, SHARDS[0])
    with container.start() as first:
        wait_for(first, container.path, "*.incomplete", ".vllm-multinode.status")
        with container.start() as second:
            assert second.stdout
            waiting = second.stdout.readline()
            rest.set()
            said = [process.communicate(timeout=LIMIT)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert "another pod fills it: downloading: " in waiting
    assert hub.downloads == dict.fromkeys(WANTED, 1)


def test_sigterm_ends_a_download_at_once(hub: SmallHub, container: Container) -> None:
    rest = hold(hub, SHARDS[0])
    with container.start() as process:
        wait_for(process, container.path, "*.incomplete")
        process.terminate()
        assert process.wait(LIMIT) == 143
    assert not rest.is_set()
    rest.set()


def test_waiting_pod_tells_the_progress_and_goes_on_when_all_is_there(container: Container) -> None:
    container.path.mkdir(parents=True)
    (container.path / ".vllm-multinode.status").write_text("failed: no such model")
    with container.start("wait") as waiting:
        assert waiting.stdout
        first = waiting.stdout.readline()
        assert "the download's Job fills it: failed: no such model" in first
        assert container.run()[0] == 0
        said, _ = waiting.communicate(timeout=LIMIT)
    assert waiting.returncode == 0
    assert f"{container.path} is complete: {MODEL} at main" in said


def test_waiting_pod_gives_up_when_the_time_is_over(tmp_path: Path) -> None:
    code, said = Container(tmp_path / "models", "none", seconds=0.5).run("wait")
    assert code == 1
    assert "is not complete after 0 s (weights.download.timeoutSeconds): no pod has started to fill it." in said
    assert "the container ends in 0 s (startup.backoffSeconds)" in said


@pytest.mark.parametrize("script", ["fill", "wait"])
def test_pod_of_a_group_stays_after_a_failure_and_goes_on(
    hub: SmallHub, tmp_path: Path, endpoint: str, script: str
) -> None:
    """A container that exits would be restarted, and LeaderWorkerSet would recreate the group for it."""
    path = tmp_path / "models" / "tiny"
    hub.faults.refuse = (401, "GatedRepo")
    container = Container(path, endpoint, stays=True, **({"seconds": 1} if script == "wait" else {}))
    process = container.start(script)
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if "the next attempt starts in 5 s" in line:
                break
        assert any("vllm-multinode: error: " in line for line in said), said
        hub.faults.refuse = None
        assert Container(path, endpoint).run()[0] == 0
        rest, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert container.files() == WANTED


def test_command_of_the_air_gap_guide_downloads_and_fails_when_the_hub_is_away(
    tmp_path: Path, endpoint: str, hub: SmallHub
) -> None:
    guide = (CHECKOUT / "docs" / "air-gap.md").read_text(encoding="utf-8")
    found = re.search(r"MULTINODE_WEIGHTS='(.*?)'\n(python3 \S+)", guide, re.DOTALL)
    assert found
    assert found[2] == "python3 charts/vllm-multinode/files/weights/fill.py"
    given = json.loads(found[1]) | {"model": MODEL, "revision": "main", "path": str(tmp_path / "tiny")}
    for where, seconds, code in ((endpoint, 60, 0), (f"http://127.0.0.1:{free_port()}", 1, 1)):
        asked = given | {"seconds": seconds, "path": f"{given['path']}-{code}"}
        container = Container(Path(asked["path"]), where)
        container.env["MULTINODE_WEIGHTS"] = json.dumps(asked)
        assert container.run()[0] == code
