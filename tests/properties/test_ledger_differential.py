"""Random histories, run on the Redis ledger and on its model: same answers, same state, same laws.

The law's numbers are those of docs/invariants.md. `LEDGER_STEPS=100000` makes it long.
"""

from __future__ import annotations

import os

import pytest

from gateway.adapters.redis.connection import close, connect
from gateway.admission.ports import Reassertion
from gateway.domain.reservation import (
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    PostVerdict,
    VoidVerdict,
)
from tests.fakes.ledger_history import History

STEPS = 150
HISTORIES = max(1, int(os.environ.get("LEDGER_STEPS", "1500")) // STEPS)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5, connect_timeout_s=5)
    yield client
    await close(client)


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_i1_i2_i3_i6_i7_i8_i9_i10_i12_i13_hold_in_every_history_on_both_ledgers(client, seed):
    history = History(seed, client)
    for _ in range(STEPS):
        await history.step()


async def test_a_history_reaches_every_verdict(client):
    """The histories above prove little if they never meet the rare cases."""
    seen = set()
    for seed in range(8):
        await client.flushall()
        history = History(seed, client)
        for _ in range(STEPS):
            await history.step()
        seen |= history.seen
    assert seen >= {
        Granted, Denied, NotDecided, *Obstacle, *PostVerdict, *VoidVerdict, *Reassertion,
        "grown", "cut", "lease denied", "rolling denied", "failover", "beat",
        ("counted", True), ("counted", False), "key forgotten",
    } - {Obstacle.ROLLBACK}  # fmt: skip
