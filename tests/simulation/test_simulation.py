"""Simulated histories (docs/simulation.md): many small ones here, as many as one likes by hand.

`make simulate SEEDS=0:1000` lives through more, and a seed that fails is the same failure again.
"""

from __future__ import annotations

import os

import pytest

from tests.mutants.ledger_mutants import MUTANTS, loaded, mutated
from tests.simulation.run import DEFAULT_STEPS, simulate
from tests.simulation.trace import ViolationError

SEEDS = int(os.environ.get("SIMULATED_SEEDS", "32"))
SEEDS_A_TEST = 4
SAMPLE = range(12)
# A sample: `make mutants` tries them all.
DEFECTS = (
    "if now_ms < tonumber(redis.call('ZSCORE', keys[2], id) or '0') then",
    "redis.call('HINCRBY', claim.key, 'posted', charge)",
    "redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)",
    "local entry = redis.call('XADD', usage_key, '*', 'record', ending.record, unpack(fields))",
    "redis.call('ZREM', claim.key, id)",
)


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_i1_to_i13_hold_in_every_simulated_history(valkey_url, tmp_path, first):
    for seed in range(first, first + SEEDS_A_TEST):
        simulate(seed, DEFAULT_STEPS, valkey_url, tmp_path / str(seed))


def test_a_seed_is_the_same_history_again(valkey_url, tmp_path):
    once = simulate(7, 120, valkey_url, tmp_path / "once")
    again = simulate(7, 120, valkey_url, tmp_path / "again")
    assert once.lines == again.lines


def test_the_histories_meet_what_they_are_made_for(valkey_url, tmp_path):
    """Laws prove little in a world where nothing goes wrong."""
    seen = set()
    for seed in range(100, 112):
        seen |= set(simulate(seed, DEFAULT_STEPS, valkey_url, tmp_path / str(seed)).counts)
    missing = {
        "pending", "posted", "voided", "expired", "unheld", "let pass",
        "kill", "power is lost", "failover", "rebuild", "stop", "clock jumps", "hang up",
        "redis request_lost", "redis reply_lost", "redis late", "redis twice", "redis refused",
        "redis foreign_reply", "dynamodb request_lost", "dynamodb reply_lost", "dynamodb refused",
        "bedrock whole", "bedrock cut", "bedrock silent", "bedrock error", "bedrock unbilled",
        "bedrock beyond_bound",
    } - seen  # fmt: skip
    assert missing == set()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_seeded_defect_of_the_ledger_is_found(valkey_url, tmp_path, defect):
    number = next(n for n, (_, find, _) in enumerate(MUTANTS) if find == defect)
    with loaded(mutated(number)):
        found = next(filter(None, (violation_of(seed, valkey_url, tmp_path) for seed in SAMPLE)))
    assert f"replay: make simulate SEEDS={found.seed}:" in str(found)


def violation_of(seed, url, folder):
    """The first law that this history breaks, if any."""
    try:
        simulate(seed, DEFAULT_STEPS, url, folder / str(seed))
    except ViolationError as violation:
        return violation
    return None
