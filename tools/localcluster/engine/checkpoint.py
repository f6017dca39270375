"""The tiny checkpoint that the local cluster serves: Llama-shaped, trained here, so that its answers make sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from localcluster.cache import built, content_key
from localcluster.engine import inside, packages, rootfs
from localcluster.host import HostError, step

HERE = Path(__file__).resolve().parent
TRAINER = HERE / "train.py"
CORPUS = HERE / "corpus.txt"
MOUNT = "/models/tiny"
COMPLETION = " top destination for foodies, with"
"""What the checkpoint answers to ``San Francisco is a`` with seven tokens: the reference guide's answer."""


def prepare() -> Path:
    """Return the checkpoint's folder in the layout of a model repository, trained on the first call (a minute).

    Raises:
        HostError: training fails or the trained model doesn't know its corpus.
    """
    pins = [line for line in packages.LOCK.read_text().splitlines() if line.startswith(("torch==", "tokenizers=="))]
    key = content_key([TRAINER, CORPUS, *pins])
    return built("engine-checkpoint", key, _train)


def _train(target: Path) -> None:
    mounts = {rootfs.PACKAGES_MOUNT: packages.prepare(), "/src": HERE, "/out": target}
    target.chmod(0o777)
    with step("training the tiny checkpoint"):
        printed = inside.run(
            ["python3", "/src/train.py", "/src/corpus.txt", "/out"],
            {"OMP_NUM_THREADS": "2"},
            mounts,
            writable=["/out"],
            timeout=1800,
        )
    _check(json.loads(printed.strip().splitlines()[-1]))
    target.chmod(0o755)
    for path in target.iterdir():
        path.chmod(0o644)


def _check(report: dict[str, Any]) -> None:
    """Refuse a model that hasn't learnt its lines.

    Raises:
        HostError: always then, with the trainer's own report.
    """
    sizes = (report["prompt_tokens"], report["completion_tokens"])
    if report["lines_forgotten"] or report["completion"] != COMPLETION or sizes != (5, 7):
        raise HostError(f"the tiny checkpoint didn't learn its corpus ({CORPUS}): {report}")
