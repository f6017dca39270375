"""The tiny checkpoint that the local cluster serves: a Llama, trained on a few lines so that its answers make sense.

It is small enough to be part of the project. ``python -m localcluster.engine train`` trains it again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from localcluster.cache import built, content_key
from localcluster.engine import inside, packages, rootfs
from localcluster.host import HostError, step

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus.txt"
FOLDER = HERE / "tiny"
MOUNT = "/models/tiny"
COMPLETION = " top destination for foodies, with"
"""What the checkpoint answers to ``San Francisco is a`` with seven tokens: the reference guide's answer."""


def prepare() -> Path:
    """Return a copy of the checkpoint's directory, laid out like a model repository, that outlives the checkout."""
    key = content_key(sorted(FOLDER.iterdir()))
    return built("engine-checkpoint", key, _copy)


def _copy(target: Path) -> None:
    shutil.copytree(FOLDER, target, dirs_exist_ok=True)


def train(target: Path) -> None:
    """Train a checkpoint into an existing directory, in less than a minute, and check it and the project's own.

    Raises:
        HostError: training fails, or one of them doesn't know the corpus, or doesn't give the guide's answer.
    """
    mounts = {rootfs.PACKAGES_MOUNT: packages.prepare(), "/src": HERE, "/out": target}
    command = ["python3", "/src/train.py", "/src/corpus.txt", "/out", f"/src/{FOLDER.name}"]
    mode = target.stat().st_mode
    target.chmod(0o777)
    with step("training the tiny checkpoint"):
        printed = inside.run(command, {"OMP_NUM_THREADS": "1"}, mounts, writable=["/out"], timeout=1800)
    target.chmod(mode)
    for path in target.iterdir():
        path.chmod(0o644)
    for report in json.loads(printed.strip().splitlines()[-1]):
        _check(report)


def _check(report: dict[str, Any]) -> None:
    """Refuse a checkpoint that doesn't know its lines.

    Raises:
        HostError: always then, with what it knows.
    """
    sizes = (report["prompt_tokens"], report["completion_tokens"])
    if report["lines_forgotten"] or report["completion"] != COMPLETION or sizes != (5, 7):
        raise HostError(f"the tiny checkpoint doesn't know its corpus ({CORPUS}): {report}")
