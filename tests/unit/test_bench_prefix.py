"""Which part of a benchmark's prompts the prefix cache holds, as vLLM's client repeats them."""

from __future__ import annotations

import pytest

from unit.test_bench import RESULT, expected_of, speed
from vmn.core.bench.points import PRESETS, Point, points
from vmn.core.bench.prefix import PrefixCache
from vmn.core.bench.results import Measured

ONE = PrefixCache(16, 0, 0, 1)


def point(prefix: int = 0, requests: int = 8, prompt: int = 1024, concurrency: int = 1) -> Point:
    return Point(0, prompt, 256, concurrency, requests, prefix=prefix)


def test_first_prompt_is_found_when_it_comes_again_except_for_its_last_block() -> None:
    assert ONE.share(point()) == pytest.approx(1008 / (8 * 1024))
    # the first of ten is new; the warm-up and the first one that counts are the same
    assert ONE.share_of_all(point()) == pytest.approx(2 * 1008 / (10 * 1024))
    assert ONE.share(point(requests=800)) < 0.002


def test_shared_beginning_is_found_in_whole_blocks() -> None:
    assert ONE.share(point(prefix=512)) == pytest.approx((1008 + 7 * 512) / (8 * 1024))
    assert ONE.share(point(prefix=527)) == ONE.share(point(prefix=512))
    assert ONE.share(point(prefix=528)) > ONE.share(point(prefix=512))
    assert ONE.share(point(prefix=15)) == ONE.share(point())
    assert ONE.share(point(prefix=1023)) == pytest.approx(1008 / 1024)
    assert PrefixCache(576, 0, 0, 1).share(point(prefix=512)) == PrefixCache(576, 0, 0, 1).share(point())


def test_each_cache_sees_a_prompt_once_before_it_finds_it() -> None:
    many = PrefixCache(16, 0, 0, 2)
    lost = ONE.share_of_all(point(prefix=512)) - many.share_of_all(point(prefix=512))
    assert lost == pytest.approx(1008 / (10 * 1024))
    assert PrefixCache(16, 0, 0, 64).share_of_all(point(prefix=512)) == 0.0


def test_drafts_and_states_find_less() -> None:
    assert PrefixCache(16, 1, 0, 1).share(point(prefix=512)) == pytest.approx((992 + 7 * 496) / (8 * 1024))
    assert PrefixCache(16, 0, 1, 1).share(point(prefix=512)) == pytest.approx((1008 + 6 * 512) / (8 * 1024))
    assert PrefixCache(16, 1, 1, 1).share(point(requests=1, prompt=8)) == 0.0


def test_shared_beginning_makes_the_prediction_faster_unless_the_cache_is_off() -> None:
    with_cache, without = expected_of(), expected_of(args={"enable-prefix-caching": False})
    plain, shared = (point(prefix=prefix, requests=64, concurrency=8) for prefix in (0, 768))
    assert with_cache.prefixes
    assert with_cache.prefixes.block == 16
    assert with_cache.speed_of(shared).first.expected < 0.8 * with_cache.speed_of(plain).first.expected
    assert with_cache.speed_of(shared).workload.cached == pytest.approx(0.75, abs=0.01)
    assert without.speed_of(shared).workload.cached == without.hits_of(shared) == 0.0


@pytest.mark.parametrize(
    ("hits", "planned", "words"),
    [
        (0.30, None, "30% of the prompts' tokens were in the prefix cache"),
        (0.30, 0.75, "30% of the prompts' tokens were in the prefix cache, not 75% as planned"),
        (0.76, 0.75, ""),
        (0.01, None, ""),
    ],
)
def test_hits_explain_a_deviation_when_they_differ_from_the_plan(
    hits: float, planned: float | None, words: str
) -> None:
    counters = {"prefix_cache_queries_total": 1000.0, "prefix_cache_hits_total": 1000 * hits}
    one = Measured(point(512), RESULT, counters, speed(200.0), planned_hits=planned)
    assert one.hits == pytest.approx(hits)
    assert ", ".join(one.reasons()) == words


def test_points_of_a_preset_share_a_beginning() -> None:
    assert {each.prefix for each in points(PRESETS["chat"], prefix=512)} == {512}
