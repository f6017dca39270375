"""The engine's container image, as a tar for ``ctr images import``."""

from __future__ import annotations

from pathlib import Path

from localcluster import images
from localcluster.cache import built, content_key
from localcluster.engine import rootfs
from localcluster.engine.packages import VLLM_VERSION

REFERENCE = f"vllm-multinode/vllm-cpu:{VLLM_VERSION}"
ENTRYPOINT = ("vllm", "serve")


def prepare() -> Path:
    """Return the image's docker-archive tar, made on the first call.

    Raises:
        HostError: the root file system can't be made.
    """
    layer = rootfs.layer()

    def make(target: Path) -> None:
        images.archive(
            REFERENCE,
            layer,
            ENTRYPOINT,
            rootfs.ENVIRONMENT,
            str(rootfs.USER_ID),
            target / "image.tar",
            workdir=rootfs.HOME,
        )

    key = content_key([layer.parent.name, Path(images.__file__), Path(__file__), Path(rootfs.__file__)])
    return built("engine-image", key, make) / "image.tar"
