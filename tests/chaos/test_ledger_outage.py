"""The failure policy at work: what may pass while Redis is away, up to where, and what it costs."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.adapters.files.host_channel import PROMISE
from gateway.adapters.redis.breaker import BreakerState
from gateway.domain.scope import Scope
from gateway.workers.control_watch import POLL_S, STALE_AFTER_S
from tests.chaos.callers import callers
from tests.chaos.conftest import POLICY
from tests.chaos.valkey import real_valkey
from tests.chaos.waiting import until, until_served
from tests.fakes.stop_knowledge import ToldStops, stop

ALLOWANCE = 1_000_000
"""What a worker may let pass in an outage, in nano-USD: a few calls."""

OPEN = POLICY + "on_outage: {budgets: local_allowance, allowance_usd: 0.001}\n"
UNBUDGETED = 'version: 1\norg: acme\nmodels: {allow: ["*"]}\n'


@pytest.fixture
async def valkey(tmp_path):
    """A Valkey of the test's own, which forgets nothing when it is killed."""
    async with real_valkey(tmp_path / "valkey", fsync="always") as server:
        yield server


@pytest.fixture
def begin(stand, valkey, patience_ms):
    """Starts a gateway on that Valkey which hears of stops by itself."""

    async def start(policy=OPEN, stops=None, **settings):
        return await stand(
            policy,
            redis_url=valkey.url,
            books_at=valkey.url,
            redis_timeout_ms=patience_ms,
            stops=stops or ToldStops(),
            **settings,
        )

    return start


async def statuses(stand, count, *, at_once=8, output=5):
    """How so many calls ended, some of them at the same time."""
    gate = asyncio.Semaphore(at_once)

    async def one():
        async with gate:
            saw = await stand.callers.converse(output=output)
            return saw.status if saw.status != 503 else saw.reason

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


def let_pass(books):
    """The records of calls that were admitted without the ledger."""
    return [r for r in books.records.values() if r["decision"] == "admit_locally"]


async def until_paid(*stands):
    """Returns when the ledger is back and has all that was let pass without it."""
    for each in stands:
        plane = each.gateway.plane
        await until(lambda plane=plane: plane.ledger.state is BreakerState.CLOSED)
        await until(lambda plane=plane: not len(plane.outbox) and not len(plane.calls))


async def test_a_budget_is_closed_unless_somebody_chose_otherwise(begin, valkey, simulated):
    stand = await begin(POLICY)
    valkey.kill()
    sent = len(simulated.requests)
    assert await statuses(stand, 20) == {"ledger_unavailable": 20}
    assert len(simulated.requests) == sent
    await valkey.start()
    await until_served(stand)
    books = await stand.agreed()
    assert let_pass(books) == []


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_an_allowance_passes_calls_up_to_its_bound_and_the_books_agree(
    begin, valkey, trouble, say
):
    stand = await begin()
    if trouble == "killed":
        valkey.kill()
    else:
        valkey.freeze()
    saw = await statuses(stand, 60)
    assert set(saw) == {200, "ledger_unavailable"}
    assert await statuses(stand, 20) == {"ledger_unavailable": 20}
    if trouble == "killed":
        await valkey.start()
    else:
        valkey.thaw()
    await until_paid(stand)
    books = await stand.agreed()
    passed = let_pass(books)
    assert len(passed) == saw[200]
    held = sum(int(record["hold_nano_usd"]) for record in passed)
    assert ALLOWANCE - int(passed[0]["hold_nano_usd"]) < held <= ALLOWANCE
    assert all(record["exact"] and record["reason"] == "ledger_unavailable" for record in passed)
    assert books.excess == 0
    say(f"  {len(passed)} calls passed, {held} of {ALLOWANCE} nano-USD held in mind")


async def test_two_gateways_spend_their_allowances_and_the_books_agree(begin, valkey, say):
    """I2: what was let pass is the only amount by which a hard budget may be exceeded."""
    limit = 2_000_000
    policy = OPEN.replace("limit_usd: 100", "limit_usd: 0.002")
    first, second = await begin(policy, workers=2), await begin(policy, workers=2)
    spent = await statuses(first, 40, output=400)
    assert set(spent) == {200, 400}
    valkey.kill()
    saw = await asyncio.gather(*(statuses(each, 40, output=400) for each in (first, second)))
    assert all(set(each) == {200, "ledger_unavailable"} for each in saw)
    await valkey.start()
    await until_paid(first, second)
    books = await first.agreed()
    passed = let_pass(books)
    assert len(passed) == sum(each[200] for each in saw)
    assert sum(int(record["hold_nano_usd"]) for record in passed) <= 2 * ALLOWANCE
    assert limit < books.posted <= limit + 2 * ALLOWANCE
    assert (books.posted, books.excess) == (books.recorded, 0)
    assert set(await statuses(first, 5) + await statuses(second, 5)) == {400}
    say(*books.table())


async def test_an_outage_after_the_last_one_has_an_allowance_of_its_own(begin, valkey):
    stand = await begin()
    for _ in range(2):
        valkey.kill()
        saw = await statuses(stand, 40)
        assert set(saw) == {200, "ledger_unavailable"}
        await valkey.start()
        await until_paid(stand)
        assert (await stand.callers.converse(output=5)).status == 200  # by the ledger
    books = await stand.agreed()
    held = sum(int(record["hold_nano_usd"]) for record in let_pass(books))
    assert ALLOWANCE < held <= 2 * ALLOWANCE


@pytest.mark.parametrize(("workers", "passed"), [(1, 6), (3, 2)])
async def test_a_worker_lets_its_share_of_a_rate_pass(begin, valkey, workers, passed):
    policy = UNBUDGETED + "limits: [{scope: user, requests_per_hour: 6}]\n"
    stand = await begin(policy, warm=False, workers=workers)
    valkey.kill()
    assert await statuses(stand, 12) == {200: passed, "ledger_unavailable": 12 - passed}


async def test_calls_before_the_outage_count_in_its_share(begin, valkey):
    stand = await begin(UNBUDGETED + "limits: [{scope: user, requests_per_hour: 9}]\n", workers=3)
    valkey.kill()
    assert await statuses(stand, 12) == {200: 2, "ledger_unavailable": 10}


async def test_a_worker_has_its_share_of_the_places(begin, valkey, simulated):
    stand = await begin(UNBUDGETED + "limits: [{scope: user, concurrency: 4}]\n", workers=2)
    valkey.kill()
    sent = len(simulated.requests)
    running = [asyncio.create_task(stand.callers.converse(delay_ms=600)) for _ in range(5)]
    await until(lambda: len(simulated.requests) == sent + 2)
    saw = await asyncio.gather(*running)
    assert Counter(each.status for each in saw) == {200: 2, 503: 3}
    assert await statuses(stand, 6, at_once=1) == {200: 6}
    await valkey.start()
    await until_paid(stand)
    books = await stand.books(within_s=2)  # no budget, so no account of money
    assert len(let_pass(books)) == 8
    assert set(books.records) == set(books.bill)


@pytest.mark.parametrize("control", ["budgets", "limits"])
async def test_what_shall_pass_uncounted_passes_and_is_recorded(begin, valkey, control):
    limits = "limits: [{scope: user, requests_per_hour: 2}]\n" if control == "limits" else ""
    policy = (UNBUDGETED if control == "limits" else POLICY) + limits
    stand = await begin(policy + f"on_outage: {{{control}: admit_uncounted}}\n")
    valkey.kill()
    assert await statuses(stand, 25) == {200: 25}
    await valkey.start()
    await until_paid(stand)
    books = await stand.books(within_s=2 if control == "limits" else 20)
    assert len(let_pass(books)) == 25
    assert set(books.records) == set(books.bill)


async def test_a_worker_that_cannot_know_of_a_stop_is_closed(begin, valkey, simulated):
    stops = ToldStops(is_fresh=False)
    stand = await begin(stops=stops)
    valkey.kill()
    sent = len(simulated.requests)
    assert await statuses(stand, 10) == {"ledger_unavailable": 10}
    stops.is_fresh = True
    stops.stops.append(stop(Scope.org("acme")))
    stopped = await stand.callers.converse()
    assert (stopped.reason, len(simulated.requests)) == ("emergency_stop", sent)
    stops.stops.clear()
    assert (await stand.callers.converse(output=5)).status == 200


async def test_a_worker_that_cannot_write_down_what_it_owes_is_closed(
    begin, valkey, simulated, monkeypatch
):
    stand = await begin()
    valkey.kill()
    monkeypatch.setattr(type(stand.gateway.plane.outbox), "intent", lambda *_: False)
    sent = len(simulated.requests)
    assert await statuses(stand, 10) == {"ledger_unavailable": 10}
    assert len(simulated.requests) == sent


async def test_a_worker_that_dies_in_an_outage_leaves_what_it_let_pass_to_its_successor(build, say):
    """Real processes: operators promise stop files, Redis goes, a proxy is killed in a stream."""
    house = await build(OPEN, workers=1, drain_timeout_s=20, redis_timeout_ms=400)
    (house.settings.state_dir / PROMISE).touch()
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        await house.ways.redis.close()
        now_s = asyncio.get_running_loop().time
        ignorant_at_s = now_s() + STALE_AFTER_S + POLL_S  # but for the files of the host
        await until(lambda: now_s() > ignorant_at_s)
        assert (await calling.converse(output=5)).status == 200
        billed = len(house.simulated.bill.lines)
        streams = [
            asyncio.create_task(calling.stream(output=200, events=100, pace_ms=50))
            for _ in range(3)
        ]
        await until(lambda: len(house.simulated.bill.lines) == billed + 3)
        dead = house.kill("proxy")
        await asyncio.gather(*streams)
        await house.ways.redis.open()
        await house.until_replaced("proxy", dead)
        books = await house.agreed(within_s=60)
    passed = let_pass(books)
    assert len(passed) >= 4
    assert sum(int(record["hold_nano_usd"]) for record in passed) <= ALLOWANCE
    assert sum(not record["exact"] for record in passed) == 3
    say(*books.table())
