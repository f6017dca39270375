"""The work of each kind of block, and of layers with several of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from vmn.adapters.models import registered_model
from vmn.core.planning.blocks.block import Block, Mixer
from vmn.core.planning.blocks.compressed import ROW, CompressedAttention
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention, Index
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.ngrams import LayerEmbedding
from vmn.core.planning.blocks.sourced import SourcedAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention, LightningAttention, LinearAttention, Mamba2, State
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import Layer
from vmn.core.planning.prediction import VllmOptions, plan_context, predict
from vmn.core.speed.mixer_work import mixer_work
from vmn.core.speed.predict import speed, speed_context
from vmn.core.speed.workload import Speed, Workload

LATENT = LatentAttention(128, 1536, 512, 64, 128, 128)
ROWS = CompressedAttention(64, 512, 64, 1024, 1024, 8, 128, ratio=4, index_heads=64, index_size=128, index_top=512)
GROUPED = Attention(32, 8, 128, 128)
MIXERS: tuple[Mixer, ...] = (
    GROUPED,
    LATENT,
    ROWS,
    SourcedAttention(**dataclasses.asdict(ROWS)),
    LinearAttention(16, 32, 128, 128, 4),
    Mamba2(128, 64, 8, 128, 4),
    KimiDeltaAttention(32, 128, 4),
    LightningAttention(32, 128),
)
WITHOUT = {State, LayerEmbedding}
"""What only others derive from, and a lookup with a state of a few kilobytes."""


def kinds(parent: type[Block]) -> Iterator[type[Block]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_kind_of_mixer_is_known() -> None:
    assert {type(mixer) for mixer in MIXERS} == set(kinds(Mixer)) - WITHOUT


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
def test_mixer_reads_a_cache_or_a_state_and_two_ranks_compute_half(mixer: Mixer) -> None:
    one, two = (list(mixer_work(mixer, Layout(tensor), fp8_cache=False)) for tensor in (1, 2))
    assert all(work.kv_bytes or work.state for work in one)
    flops = [sum(work.decode_flops + work.state_flops for work in works) for works in (one, two)]
    assert flops[1] == pytest.approx(flops[0] / 2)


def test_part_that_sees_one_token_at_a_time_is_not_a_mixer() -> None:
    assert not list(mixer_work(Dense(1024), Layout(), fp8_cache=False))


def test_index_limits_the_tokens_that_attention_reads_and_reads_its_own_keys() -> None:
    index = Index(heads=4, size=128, key_bytes=256, pool=4, top=2048)
    (plain,) = mixer_work(GROUPED, Layout(), fp8_cache=False)
    (sparse,) = mixer_work(dataclasses.replace(GROUPED, index=index), Layout(), fp8_cache=False)
    assert (plain.window, plain.index_bytes) == (None, 0)
    assert (sparse.window, sparse.index_bytes) == (2048, 64)


@pytest.mark.parametrize(
    ("ratio", "windows", "indexed"), [(0, [128], False), (4, [128, 2048], True), (128, [128, None], False)]
)
def test_rows_come_behind_the_window(ratio: int, windows: list[int | None], indexed: bool) -> None:
    works = list(mixer_work(dataclasses.replace(ROWS, ratio=ratio), Layout(), fp8_cache=True))
    assert [work.window for work in works] == windows
    assert [work.kv_bytes for work in works] == ([ROW, ROW / ratio] if ratio else [ROW])
    assert any(work.index_flops for work in works) == indexed


def asked(*blocks: Block) -> Speed:
    """Return the speed of DeepSeek-V3's shapes with other layers, all of them alike."""
    shapes = registered_model("deepseek-ai/DeepSeek-V3").architecture
    model = dataclasses.replace(
        shapes, layers=(Layer.of(*blocks),) * 8, draft_layers=(), quantization=None, stored=None
    )
    plan = plan_context(model, find_gpu("h200"), Cluster(1, 8, "nvlink"), VllmOptions(16384, version="0.33.0"))
    context = speed_context(plan)
    assert context
    return speed(context, predict(plan, Layout(8)), Workload(8000, 100, concurrency=16))


def test_second_attention_and_dense_part_of_a_layer_take_as_long_as_those_of_another_layer() -> None:
    once, twice = asked(LATENT, Dense(18432)), asked(LATENT, Dense(18432), LATENT, Dense(18432))
    alone = asked(Dense(18432), LATENT)
    assert alone.each.expected == pytest.approx(once.each.expected)
    assert 1.5 * once.each.expected < twice.each.expected <= 2 * once.each.expected


def test_experts_that_do_nothing_take_less_time_than_those_that_work() -> None:
    experts = Experts(512, 12, 2048)
    working, idle = asked(LATENT, experts), asked(LATENT, dataclasses.replace(experts, idle=256))
    assert idle.first.expected < working.first.expected


def test_lookup_before_attention_does_not_hide_it() -> None:
    lookup = LayerEmbedding(1024, 1, 7168, 4, 3)
    assert asked(lookup, GROUPED, Dense(2048)).each.expected >= asked(GROUPED, Dense(2048)).each.expected
