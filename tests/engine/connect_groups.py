"""Runs in vLLM's environment: says what vLLM has against connectors of the KV cache, before it loads anything.

Argument: a JSON file, a list of ``{"words": [...], "config": ..., "env": ...}``: arguments of ``vllm serve``, the
model's ``config.json``, and environment variables; and of ``{"handshake": {"prefill": ..., "decode": ...}}``, the
layers of a worker on both sides. The last line printed is JSON: a list of messages, null where vLLM accepts.

vLLM's parser, its configuration, and the constructors of its connectors run as they are, once for the scheduler and
once for a worker. What they need of a GPU and of NIXL's library is replaced; a worker counts as accepted when it has
passed its checks and asks for attention backends.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory
from vllm.distributed.kv_transfer.kv_connector.v1 import KVConnectorRole
from vllm.distributed.kv_transfer.kv_connector.v1.nixl import base_worker
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.kv_cache_interface import KVCacheConfig


class Passed(Exception):  # noqa: N818 - reads as what happened
    """A worker has passed all of its checks."""


@contextmanager
def replaced(tensor: int) -> Iterator[None]:
    """Stand in for NIXL's library, the ranks of a group, and what comes after the checks."""
    changes: dict[str, Any] = {
        "NixlWrapper": mock.Mock(),
        "nixl_agent_config": None,
        "get_tensor_model_parallel_rank": lambda: 0,
        "get_tensor_model_parallel_world_size": lambda: tensor,
        "get_current_attn_backends": mock.Mock(side_effect=Passed),
    }
    with mock.patch.multiple(base_worker, **changes):
        yield


def connect(case: Mapping[str, Any], parser: FlexibleArgumentParser) -> None:
    """Make the configuration of an engine and its connectors.

    Raises:
        Exception: whatever vLLM raises.
    """
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, case["env"]):
        Path(folder, "config.json").write_text(json.dumps(case["config"]))
        arguments = AsyncEngineArgs.from_cli_args(parser.parse_args(case["words"]))
        arguments.model, arguments.tokenizer, arguments.served_model_name = folder, None, None
        arguments.skip_tokenizer_init, arguments.load_format = True, "dummy"
        config = arguments.create_engine_config()
    cache = KVCacheConfig(num_blocks=1, kv_cache_tensors=[], kv_cache_groups=[])
    with replaced(config.parallel_config.tensor_parallel_size):
        for role in (KVConnectorRole.SCHEDULER, KVConnectorRole.WORKER):
            try:
                KVConnectorFactory.create_connector(config, role, cache)
            except Passed:
                continue


def shake_hands(prefill: int, decode: int) -> None:
    """Let a worker of decode judge what a worker of prefill says of its KV cache, for latent attention."""
    engine, ranks, length = "prefill", 8, 1152
    remote = mock.Mock(remote_tp_size=ranks, remote_dcp_size=1)
    topology = mock.Mock(tp_size=ranks, total_num_kv_heads=1, local_physical_heads=1)
    topology.get_engine_info.return_value = remote
    topology.tp_ratio.return_value = topology.block_size_ratio.return_value = 1
    worker = mock.Mock(
        transfer_topo=topology,
        dcp_size=1,
        use_mla=True,
        use_host_buffer=False,
        region_group_ids=[],
        region_names=[],
        block_len_per_layer=[length] * decode,
        dst_num_blocks={engine: 1},
        dst_region_group_ids={engine: []},
        _has_mamba=False,
        _is_hma_required=False,
        _physical_blocks_per_logical_kv_block=1,
        _transfer_layer_region_indices=(),
    )
    said = mock.Mock(
        engine_id=engine,
        num_blocks=1,
        physical_blocks_per_logical_kv_block=1,
        kv_cache_layout=worker.kv_cache_layout,
        block_lens=[length] * prefill,
        block_strides=[length] * prefill,
        kv_caches_base_addr=[0] * prefill,
        region_num_blocks=None,
        region_group_ids=None,
        region_mem_types=None,
        region_names=None,
        ssm_sizes=worker._mamba_ssm_size,
        attn_backend_name=worker.backend_name,
    )
    base_worker.NixlBaseConnectorWorker._validate_remote_agent_handshake(worker, said, ranks, 1)


def main(cases: list[dict[str, Any]]) -> list[str | None]:
    """Return what vLLM says to each case."""
    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    said: list[str | None] = []
    for case in cases:
        try:
            shake_hands(**case["handshake"]) if "handshake" in case else connect(case, parser)
            said.append(None)
        except (Exception, SystemExit) as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
