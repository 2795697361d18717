"""A process that spends from one budget as fast as it can, and says what it was allowed."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.domain.period import Period
from gateway.domain.reservation import Granted
from tests.fakes.ledgers import budget, plan, posting

CALLS = 80
AT_ONCE = 16


async def spend(url: str, spender: str, ceiling: int) -> dict[str, int]:
    dice = random.Random(spender)
    client = connect(url, timeout_s=5)
    ledger = RedisLedger(client)
    report = {"charged": 0, "posted": 0, "denied": 0, "highest_use": 0}
    gate = asyncio.Semaphore(AT_ONCE)
    at = datetime.now(UTC)

    async def call(number: int) -> None:
        request_id, hold = f"{spender}-{number}", dice.randrange(1, 200)
        async with gate:
            claim = budget(hold, ceiling, at=at, period=Period.MONTH)
            receipt = await ledger.reserve(plan(request_id, claim))
            if not isinstance(receipt, Granted):
                report["denied"] += 1
                return
            report["highest_use"] = max(report["highest_use"], receipt.utilisation[0].used)
            if dice.random() < 0.2:
                await ledger.void(request_id)
                return
            charge = dice.randrange(hold + 1)
            await ledger.post(posting(request_id, charge))
            report["charged"] += charge
            report["posted"] += 1

    await asyncio.gather(*(call(number) for number in range(CALLS)))
    # What is left is spent to the last unit, so that every process meets the ceiling, also one that
    # began long before the others.
    number = CALLS
    while number < 2 * CALLS or not report["denied"]:
        await call(number)
        number += 1
    await client.aclose()
    return report


if __name__ == "__main__":
    print(json.dumps(asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3])))))  # noqa: T201 - its answer to the test
