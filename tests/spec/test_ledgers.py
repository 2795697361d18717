"""The text ledgers beside this file come out as written, on every implementation of the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.reference_ledger import ReferenceLedger
from tests.fakes.ledger_script import ScriptRun, read_scripts
from tests.fakes.ledgers import HandClock

SCRIPTS = [
    pytest.param(script, id=f"{path.stem}: {script.title}")
    for path in sorted((Path(__file__).parent / "ledgers").glob("*.ledger"))
    for script in read_scripts(path)
]


@pytest.mark.parametrize("script", SCRIPTS)
async def test_the_model_does_as_written(script):
    clock = HandClock()
    await ScriptRun(ReferenceLedger(now_ms=clock), clock).run(script)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.mark.parametrize("script", SCRIPTS)
async def test_the_redis_ledger_does_as_written(script, client):
    clock = HandClock()
    await ScriptRun(RedisLedger(client, now_ms=clock), clock).run(script)
