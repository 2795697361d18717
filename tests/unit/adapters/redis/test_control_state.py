from __future__ import annotations

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.shards import shard_keys
from gateway.domain.reservation import Granted, NotDecided, Obstacle, Seen, SeenKind
from gateway.domain.scope import Scope
from tests.fakes.ledgers import ACME, HandClock, plan, stop_of

SHARDS = shard_keys(3)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def ledgers(client):
    return [RedisLedger(client, keys=keys, now_ms=HandClock()) for keys in SHARDS]


def edition(version):
    return Seen(kind=SeenKind.POLICY, name="acme", version=version)


async def test_i12_an_edition_reaches_every_shard_and_never_goes_back(client, ledgers):
    control = RedisLedgerControl(client, SHARDS)
    assert await control.publish(edition(4)) == 4
    assert await control.publish(edition(3)) == 4
    for number, ledger in enumerate(ledgers):
        stale = await ledger.reserve(plan(f"a{number}", seen=(edition(3),)))
        assert isinstance(stale, NotDecided)
        assert (stale.obstacle, stale.about) == (Obstacle.STALE_VERSION, "policy:acme")
        assert isinstance(await ledger.reserve(plan(f"a{number}", seen=(edition(4),))), Granted)


async def test_i12_a_plan_of_a_newer_edition_proves_it_to_a_shard_that_forgot(ledgers):
    ledger = ledgers[0]
    assert isinstance(await ledger.reserve(plan("new", seen=(edition(9),))), Granted)
    stale = await ledger.reserve(plan("old", seen=(edition(8),)))
    assert stale.obstacle is Obstacle.STALE_VERSION


async def test_a_stop_ends_admission_in_its_scope_on_every_shard_until_it_is_taken_back(
    client, ledgers
):
    control = RedisLedgerControl(client, SHARDS)
    await control.stop(stop_of(ACME))
    for number, ledger in enumerate(ledgers):
        stopped = await ledger.reserve(plan(f"a{number}", scopes=(Scope.platform(), ACME)))
        assert (stopped.obstacle, stopped.about) == (Obstacle.STOPPED, "org/acme")
        other = plan(f"b{number}", scopes=(Scope.platform(), Scope.org("globex")))
        assert isinstance(await ledger.reserve(other), Granted)
    await control.resume(ACME)
    assert isinstance(await ledgers[0].reserve(plan("a0", scopes=(ACME,))), Granted)
