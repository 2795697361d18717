"""Rungs: what a divisible one holds."""

from __future__ import annotations

from gateway.domain.money import NanoUsd
from gateway.domain.reservation import Division, Rung


def test_a_whole_rung_holds_what_it_says_whatever_n_is():
    rung = Rung(name="as asked", hold_nano_usd=NanoUsd(1_000), claims=())
    assert rung.held_nano_usd(0) == rung.held_nano_usd(7) == 1_000


def test_a_divisible_rung_holds_its_fixed_part_and_n_units():
    rung = Rung(
        name="fewer tokens",
        hold_nano_usd=NanoUsd(1_000),
        claims=(),
        division=Division(least=1, most=100, unit_nano_usd=NanoUsd(75)),
    )
    assert rung.held_nano_usd(0) == 1_000
    assert rung.held_nano_usd(100) == 8_500
