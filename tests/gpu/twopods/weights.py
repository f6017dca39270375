"""Writes random weights in the shapes of Llama, for starts that read weights. Needs PyTorch and safetensors.

Each tensor's numbers depend on its name alone, so two models that differ in their number of layers share files.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
LAYERS = 2
"""Layers of a file."""
POOL = 2**28
"""Random numbers that are drawn; every tensor takes its own from there."""
DEVIATION = 0.02
"""Standard deviation of them, as ``initializer_range`` of Llama's configuration."""


def write_weights(folders: Sequence[Path], workers: int) -> Iterator[str]:
    """Write the files of models whose directories have a config.json, and yield what was written.

    Args:
        folders: of the models. A file that an earlier one has, too, is linked.
        workers: processes, each of which needs about 4 GB.

    Raises:
        ValueError: a model is not a Llama without tied embeddings.
        OSError: a file can't be read or written.
    """
    made: dict[str, Path] = {}
    with ProcessPoolExecutor(workers) as pool:
        for folder in folders:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            files = files_of(config)
            new = [name for name in files if name not in made]
            for name in files.keys() - set(new):
                os.link(made[name], folder / name)
            list(pool.map(_write, [folder / name for name in new], [files[name] for name in new]))
            made |= {name: folder / name for name in new}
            index = {"weight_map": {tensor: name for name, shapes in files.items() for tensor in shapes}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
            yield f"{folder.name}: {len(new)} new files, {len(files) - len(new)} linked"


def files_of(config: Mapping[str, Any]) -> Mapping[str, Shapes]:
    """Return the files of a model: name -> tensors and their shapes.

    Raises:
        ValueError: it is not a Llama without tied embeddings.
    """
    if config["architectures"] != ["LlamaForCausalLM"] or config.get("tie_word_embeddings"):
        raise ValueError(f"random weights are written for Llama only, not for {config['architectures'][0]}")
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    ends = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (config["vocab_size"], hidden),
    }
    found: dict[str, Shapes] = {"ends.safetensors": ends}
    for first in range(0, layers, LAYERS):
        numbers = range(first, min(first + LAYERS, layers))
        found[f"layers-{first:03}.safetensors"] = {
            f"model.layers.{number}.{name}": shape for number in numbers for name, shape in _layer(config).items()
        }
    return found


def _layer(config: Mapping[str, Any]) -> Shapes:
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    values = hidden // heads * config["num_key_value_heads"]
    return {
        "self_attn.q_proj.weight": (hidden, hidden),
        "self_attn.k_proj.weight": (values, hidden),
        "self_attn.v_proj.weight": (values, hidden),
        "self_attn.o_proj.weight": (hidden, hidden),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }


def _write(file: Path, shapes: Shapes) -> None:
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    save_file({name: _tensor(name, shape) for name, shape in shapes.items()}, file)


def _tensor(name: str, shape: tuple[int, ...]) -> Any:
    """Return a tensor of random numbers, or of ones for a norm."""
    import torch

    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    pool, size = _pool(), shape[0] * shape[1]
    begin = zlib.crc32(name.encode()) % (POOL // 2)
    parts = [pool[begin:] * (1 + number / 64) for number in range(size // (POOL - begin) + 1)]
    return torch.cat(parts)[:size].reshape(shape).contiguous()


_drawn: list[Any] = []


def _pool() -> Any:
    import torch

    if not _drawn:
        torch.manual_seed(0)
        _drawn.append(torch.cat([(torch.randn(POOL // 16) * DEVIATION).to(torch.bfloat16) for _ in range(16)]))
    return _drawn[0]
