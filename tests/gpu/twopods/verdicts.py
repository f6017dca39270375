"""What ``vmn doctor`` says of the objects and logs that a run kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmn.adapters.signatures import load_signatures
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.release import Release
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.cluster.timestamps import seconds
from vmn.core.doctor.diagnose import diagnose
from vmn.core.doctor.finding import Diagnosis

KUBERNETES = (1, 36)


def release(content: dict[str, Any]) -> Release:
    """Return a release as it was read: from a line of ``objects.jsonl``, or a file of the doctor's recorded faults."""
    metadata = content["objects"]["leaderworkersets"][0]["metadata"]
    logs = [_log(name, lines) for name, lines in content["logs"].items()]
    now = seconds(content["now"])
    assert now is not None
    silent = frozenset(content.get("silent", ()))
    snapshot = Snapshot(KUBERNETES, content["objects"], {})
    return Release(metadata["name"], metadata["namespace"], snapshot, now, logs, silent=silent)


def _log(name: str, lines: list[str]) -> ContainerLog:
    pod, container = name.removesuffix(".previous").split(".")
    return ContainerLog(pod, container, "\n".join(lines), name.endswith(".previous"))


def verdict(content: dict[str, Any]) -> Diagnosis:
    """Return what the doctor says."""
    return diagnose(release(content), load_signatures())


def verdicts(file: Path, keep: Path | None = None) -> Iterator[str]:
    """Yield what the doctor says of each entry of a file, and keep each as a file of its own.

    Args:
        file: ``objects.jsonl`` of a run.
        keep: directory for files in the form of the doctor's recorded faults.
    """
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        content = json.loads(line)
        found = verdict(content)
        first = found.findings[0] if found.findings else None
        yield f"{number}. {content.get('scenario', '')}: {content['says']}: {found.state.value}"
        for finding in found.findings:
            yield f"   {finding.id} ({finding.pod}): {finding.text}"
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            content |= {"verdict": first.id if first else "", "pod": first.pod if first else ""}
            name = "".join(letter if letter.isalnum() else "-" for letter in content["says"].lower())
            (keep / f"{number:02}-{name[:60]}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
