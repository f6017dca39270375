"""Faults in a row are the same for the same seed, and of all kinds."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.randomfaults import Moment, Strike, Struck, random_faults

STRUCK = Struck(
    engine=(Strike(0, "server"), Strike(1, "rank")), freezable=(Strike(1, "rank"),), others=(Strike(0, "1"),), longest=3
)


def test_same_seed_gives_the_same_faults() -> None:
    assert random_faults(20, STRUCK, 1) == random_faults(20, STRUCK, 1)
    assert random_faults(20, STRUCK, 1) != random_faults(20, STRUCK, 2)


@pytest.mark.parametrize("count", [10, 20])
def test_faults_are_of_all_kinds(count: int) -> None:
    faults = random_faults(count, STRUCK, 1)
    moments = Counter(fault.moment for fault in faults)
    assert moments == {
        Moment.DRAINING: count // 5,
        Moment.RESTARTING: count * 3 // 10,
        Moment.SERVING: count // 2,
    }
    assert [fault.strikes for fault in faults if fault.freezes] == [STRUCK.freezable]
    assert [len(fault.strikes) for fault in faults if fault.moment is Moment.SERVING].count(2) == 1
    assert all(fault.strikes[0] in STRUCK.engine for fault in faults if fault.moment is Moment.RESTARTING)
    assert all(0 <= fault.delay <= STRUCK.longest for fault in faults)


def test_fault_says_what_is_done() -> None:
    (fault,) = (fault for fault in random_faults(10, STRUCK, 1) if fault.freezes)
    assert str(fault) == f"freeze rank of pod 1, while it serves, {fault.delay:.2f} s"
