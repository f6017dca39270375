"""Exact weights from the headers of safetensors files, in a directory and from a hub."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from vmn.adapters.checkpoint import INDEX
from vmn.adapters.models import ModelError, load_model
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import stage_weights

LAYERS, HIDDEN, WIDTH, HEADS, KV_HEADS, SIZE, VOCABULARY = 4, 256, 512, 4, 2, 64, 1024
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": SIZE,
    "max_position_embeddings": 8192,
    "vocab_size": VOCABULARY,
}
ENDS = {"model.embed_tokens.weight": [VOCABULARY, HIDDEN], "lm_head.weight": [VOCABULARY, HIDDEN]}
SIZES = {"BF16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1}
NAME = "some/Model"


def layer(index: int) -> dict[str, Sequence[int]]:
    prefix = f"model.layers.{index}"
    return {
        f"{prefix}.self_attn.q_proj.weight": [HEADS * SIZE, HIDDEN],
        f"{prefix}.self_attn.k_proj.weight": [KV_HEADS * SIZE, HIDDEN],
        f"{prefix}.self_attn.v_proj.weight": [KV_HEADS * SIZE, HIDDEN],
        f"{prefix}.self_attn.o_proj.weight": [HIDDEN, HEADS * SIZE],
        f"{prefix}.mlp.gate_proj.weight": [WIDTH, HIDDEN],
        f"{prefix}.mlp.up_proj.weight": [WIDTH, HIDDEN],
        f"{prefix}.mlp.down_proj.weight": [HIDDEN, WIDTH],
        f"{prefix}.input_layernorm.weight": [HIDDEN],
        f"{prefix}.post_attention_layernorm.weight": [HIDDEN],
    }


def whole(**more: Sequence[int]) -> dict[str, Sequence[int]]:
    """Return all tensors of the model."""
    layers = {name: shape for index in range(LAYERS) for name, shape in layer(index).items()}
    return {**ENDS, **layers, "model.norm.weight": [HIDDEN], **more}


def write(folder: Path, tensors: Mapping[str, Sequence[int]], kinds: Mapping[str, str] | None = None) -> Path:
    """Write a checkpoint of zeros in two files with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    names, where = list(tensors), {}
    for number, part in enumerate((names[::2], names[1::2])):
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name in part:
            kind = (kinds or {}).get(name, "BF16")
            size = prod(tensors[name]) * SIZES[kind]
            header[name] = {"dtype": kind, "shape": list(tensors[name]), "data_offsets": [end, end + size]}
            end += size
            where[name] = f"part-{number}.safetensors"
        text = json.dumps(header).encode()
        (folder / f"part-{number}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def weights(folder: Path, layout: Layout = Layout(), stage: int = 0) -> float:  # noqa: B008 - frozen
    return sum(stage_weights(load_model(None, folder).architecture, layout, stage).values())


@pytest.mark.parametrize("layout", [Layout(), Layout(2), Layout(1, 2)])
def test_weights_of_the_files_are_those_of_the_shapes(tmp_path: Path, layout: Layout) -> None:
    model = load_model(None, write(tmp_path, whole())).architecture
    assert model.stored is not None
    for stage in range(layout.pipeline):
        shapes = stage_weights(replace(model, stored=None), layout, stage)
        assert stage_weights(model, layout, stage) == pytest.approx(shapes)


def test_layer_that_is_quantized_only_in_the_files_is_counted_as_stored(tmp_path: Path) -> None:
    small = {name: "F8_E4M3" for name, shape in layer(0).items() if len(shape) > 1}
    folder = write(tmp_path, whole(), small)
    plain = weights(write(tmp_path / "plain", whole()), Layout(1, 2))
    saved = sum(prod(shape) for name, shape in layer(0).items() if len(shape) > 1)
    assert weights(folder, Layout(1, 2)) == pytest.approx(plain - saved)
    assert weights(folder, Layout(1, 2), 1) == pytest.approx(weights(tmp_path / "plain", Layout(1, 2), 1))


def test_parts_of_a_layer_are_those_of_the_files(tmp_path: Path) -> None:
    small = {name: "F8_E4M3" for name, shape in whole().items() if "self_attn" in name and len(shape) > 1}
    parts, plain = (
        stage_weights(load_model(None, write(tmp_path / str(bool(kinds)), whole(), kinds)).architecture, Layout(), 0)
        for kinds in (small, {})
    )
    assert parts["attention"] == pytest.approx(plain["attention"] / 2)
    assert parts["feed-forward"] == pytest.approx(plain["feed-forward"])


def test_files_of_4_bits_win_over_a_config_that_does_not_say_so(tmp_path: Path) -> None:
    packed = {name: [*shape[:-1], shape[-1] // 2] if "mlp" in name else shape for name, shape in whole().items()}
    folder = write(tmp_path / "packed", packed, {name: "U8" for name in packed if "mlp" in name})
    parts = stage_weights(load_model(None, folder).architecture, Layout(), 0)
    plain = stage_weights(load_model(None, write(tmp_path / "plain", whole())).architecture, Layout(), 0)
    assert parts["feed-forward"] == pytest.approx(plain["feed-forward"] / 4, rel=0.01)
    assert parts["attention"] == pytest.approx(plain["attention"])


def test_what_vllm_does_not_load_is_not_counted(tmp_path: Path) -> None:
    more = whole(**layer(LAYERS), **{"vision_tower.encoder.layers.0.fc.weight": [HIDDEN, HIDDEN]})
    assert weights(write(tmp_path / "more", more)) == weights(write(tmp_path / "plain", whole()))


def test_32_bit_weights_are_loaded_with_16(tmp_path: Path) -> None:
    wide = {name: "F32" for name, shape in whole().items() if len(shape) > 1}
    assert weights(write(tmp_path / "wide", whole(), wide)) == weights(write(tmp_path / "plain", whole()))


def test_folder_with_no_files_but_the_index_is_planned_from_its_shapes(tmp_path: Path) -> None:
    for file in write(tmp_path, whole()).glob("*.safetensors"):
        file.unlink()
    assert load_model(None, tmp_path).architecture.stored is None


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("missing", "part-1.safetensors is in model.safetensors.index.json but not in"),
        ("cut off", "part-0.safetensors has a header that can't be read"),
        ("other", "part-0.safetensors does not begin with the length of a header"),
        ("index", "it is not an index of safetensors files"),
        ("layers", "num_hidden_layers is 4, but the safetensors files have nothing for layer 3"),
        ("model", "they are not of the same model"),
    ],
)
def test_impossible_checkpoint_is_refused(tmp_path: Path, broken: str, says: str) -> None:
    tensors = whole()
    if broken == "layers":
        tensors = {name: shape for name, shape in tensors.items() if "layers.3." not in name}
    if broken == "model":
        tensors = {name: [side * 2 for side in shape] for name, shape in tensors.items()}
    folder = write(tmp_path, tensors)
    first, second = folder / "part-0.safetensors", folder / "part-1.safetensors"
    if broken == "missing":
        second.unlink()
    if broken == "cut off":
        first.write_bytes(first.read_bytes()[:100])
    if broken == "other":
        first.write_text("version https://git-lfs.github.com/spec/v1\n")
    if broken == "index":
        (folder / INDEX).write_text("{}")
    with pytest.raises(ModelError) as refused:
        load_model(None, folder)
    assert says in str(refused.value)


class Hub(SimpleHTTPRequestHandler):
    """Serves a directory like the Hub, with ranges, and refuses gated models."""

    ranges = True

    def do_GET(self) -> None:
        """Answer with a file, or a part of one."""
        _, organisation, name, _, _, file = self.path.split("/", 5)
        path = Path(self.directory, file)
        if organisation == "gated" and self.headers.get("Authorization") != "Bearer right":
            return self.send_error(HTTPStatus.UNAUTHORIZED)
        if name != "Model" or not path.is_file():
            return self.send_error(HTTPStatus.NOT_FOUND)
        content, asked = path.read_bytes(), self.headers.get("Range")
        if asked and self.ranges:
            begin, end = asked.removeprefix("bytes=").split("-")
            content = content[int(begin) : int(end) + 1]
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked and self.ranges else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):  # the client has seen enough
            self.wfile.write(content)
        return None

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a checkpoint; return its directory."""
    folder = write(tmp_path / "hub", whole())
    handler = type("Handler", (Hub,), {"ranges": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield folder
        server.shutdown()


def test_model_of_the_hub_has_its_exact_weights(hub: Path) -> None:
    model = load_model(NAME, hub=True)
    assert model.name == NAME
    assert model.architecture == load_model(None, hub).architecture
    assert model.checkpoint_bytes == sum(prod(shape) for shape in whole().values()) * 2


def test_model_of_the_hub_in_one_file_is_read(hub: Path) -> None:
    (hub / INDEX).unlink()
    assert load_model(NAME, hub=True).architecture.stored is None
    (hub / "part-0.safetensors").rename(hub / "model.safetensors")
    with pytest.raises(ModelError, match=r"not of the same model|nothing for layer"):
        load_model(NAME, hub=True)


def test_gated_model_needs_a_token(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"gated, private or does not exist .* HF_TOKEN"):
        load_model("gated/Model", hub=True)
    monkeypatch.setenv("HF_TOKEN", "right")
    assert load_model("gated/Model", hub=True).architecture.stored == load_model(None, hub).architecture.stored


def test_model_that_is_not_on_the_hub_is_named(hub: Path) -> None:
    with pytest.raises(ModelError, match=r"some/Other has no config\.json on the Hub"):
        load_model("some/Other", hub=True)


def test_unreachable_hub_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9 can't be reached .* Use --config"):
        load_model(NAME, hub=True)


def test_endpoint_that_is_not_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(ModelError, match="HF_ENDPOINT must begin with https:// or http://"):
        load_model(NAME, hub=True)


def test_hub_and_a_file_can_not_both_be_given(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--config or --hub, not both"):
        load_model(NAME, tmp_path, hub=True)
