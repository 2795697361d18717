"""Real processes against one budget: the check-then-act race that others lost money by."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from gateway.adapters.redis.connection import connect
from tests.fakes.ledgers import state_of_redis

ROOT = Path(__file__).parents[2]
SPENDERS = 4
CEILING = 10_000


async def test_i2_i5_four_processes_never_overspend_one_budget_together(valkey_url):
    spenders = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fakes.spender", valkey_url, str(number), str(CEILING),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )
        for number in range(SPENDERS)
    ]  # fmt: skip
    outputs = [(await spender.communicate())[0] for spender in spenders]
    reports = [json.loads(output) for output in outputs]

    client = connect(valkey_url, timeout_s=5)
    state = await state_of_redis(client)
    await client.aclose()
    ((posted, pending, overrun),) = state.balances.values()
    assert (pending, overrun) == (0, 0)
    assert posted == sum(report["charged"] for report in reports) <= CEILING
    assert max(report["highest_use"] for report in reports) <= CEILING
    assert all(report["denied"] for report in reports), "the budget was fought over"
    assert posted > CEILING * 0.9, "and used up"
    assert len(state.journal) == sum(report["posted"] for report in reports)
