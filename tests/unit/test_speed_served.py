"""The predicted speed of servers that others measured, beside the errors of a peer on the same rows."""

from __future__ import annotations

from speed.served import PEERS, medians, rows


def test_servers_are_met_better_than_by_a_peer() -> None:
    found = [errors for row in rows() if (errors := row.errors())]
    first, each = medians(found)
    print(f"{len(found)} rows: time to first token {first:.1%}, time per token {each:.1%}")
    assert len(found) >= 300
    assert first < PEERS["aiconfigurator 0.12.0"][0]
    assert each < PEERS["aiconfigurator 0.12.0"][1]
