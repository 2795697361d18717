"""The contract of `admission.ports.Ledger` and `DueHolds`, held by every implementation."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.reference_ledger import ReferenceLedger
from gateway.domain.reservation import (
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    PostVerdict,
    Resource,
    VoidVerdict,
)
from tests.fakes.ledgers import (
    DAY_MS,
    MIDNIGHT_MS,
    HandClock,
    budget,
    plan,
    posting,
    rate,
    state_of,
)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture(params=["model", "redis"])
async def ledger(request, clock, valkey_url):
    if request.param == "model":
        yield ReferenceLedger(now_ms=clock)
        return
    client = connect(valkey_url, timeout_s=5)
    yield RedisLedger(client, now_ms=clock)
    await client.aclose()


async def test_a_receipt_says_what_was_taken_when_and_how_full_each_account_is_now(ledger):
    money = budget(40, 100)
    tokens = rate(30, 50)
    receipt = await ledger.reserve(plan("a", money, tokens))
    assert isinstance(receipt, Granted)
    assert (receipt.request_id, receipt.rung, receipt.at_ms) == ("a", 0, MIDNIGHT_MS)
    assert not receipt.repeated
    first, second = receipt.utilisation
    assert (first.account, first.used, first.ceiling) == (money.account, 40, 100)
    assert first.resets_at_ms == MIDNIGHT_MS + DAY_MS
    assert (second.account, second.used, second.ceiling) == (tokens.account, 30, 50)
    assert second.resets_at_ms is None


async def test_a_denial_says_what_stands_in_the_way_and_how_long(ledger):
    await ledger.reserve(plan("a", budget(90, 100), rate(50, 50)))
    money = await ledger.reserve(plan("b", budget(40, 100)))
    assert isinstance(money, Denied)
    assert (money.blocking.used, money.blocking.ceiling, money.wanted) == (90, 100, 40)
    assert (money.blocking.resets_at_ms, money.wait_ms) == (MIDNIGHT_MS + DAY_MS, None)
    tokens = await ledger.reserve(plan("c", rate(20, 50)))
    assert isinstance(tokens, Denied)
    assert (tokens.blocking.used, tokens.blocking.ceiling, tokens.wanted) == (50, 50, 20)
    assert (tokens.blocking.resets_at_ms, tokens.wait_ms) == (None, 24_000)


async def test_i6_a_denial_changes_nothing(ledger):
    await ledger.reserve(plan("a", budget(90, 100), rate(1, 50)))
    before = await state_of(ledger)
    await ledger.reserve(plan("b", rate(1, 50), budget(11, 100), rate(1, 9, name="r")))
    assert await state_of(ledger) == before


async def test_a_plan_made_for_another_time_is_not_decided_and_changes_nothing(ledger, clock):
    clock.wait(2 * DAY_MS)
    receipt = await ledger.reserve(plan("a", budget(1, 100)))
    assert receipt == NotDecided(
        request_id="a", obstacle=Obstacle.STALE_WINDOW, at_ms=MIDNIGHT_MS + 2 * DAY_MS
    )
    assert (await state_of(ledger)).holds == {}
    again = await ledger.reserve(plan("a", budget(1, 100, at=clock.instant)))
    assert isinstance(again, Granted), "the same id may be planned anew"


async def test_the_same_id_gets_the_same_receipt_even_later_and_from_another_plan(ledger, clock):
    first = await ledger.reserve(plan("a", budget(40, 100)))
    clock.wait(5)
    again = await ledger.reserve(plan("a", budget(99, 1_000)))
    assert isinstance(again, Granted)
    assert again.repeated
    assert (again.at_ms, again.rung) == (first.at_ms, first.rung)
    assert again.utilisation[0].used == 40


@pytest.mark.parametrize("end", ["post", "void", "expire"])
async def test_an_ended_id_is_never_granted_again(ledger, clock, end):
    await ledger.reserve(plan("a", budget(40, 100), ttl_ms=1))
    clock.wait(1)
    match end:
        case "post":
            await ledger.post(posting("a", 1))
        case "void":
            await ledger.void("a")
        case _:
            await ledger.expire_due(1)
    receipt = await ledger.reserve(plan("a", budget(40, 100)))
    assert isinstance(receipt, NotDecided)
    assert receipt.obstacle is Obstacle.TOMBSTONE


async def test_i3_of_many_posts_at_once_one_counts(ledger):
    await ledger.reserve(plan("a", budget(40, 100)))
    verdicts = await asyncio.gather(*(ledger.post(posting("a", charge)) for charge in range(9)))
    assert verdicts.count(PostVerdict.POSTED) == 1
    assert verdicts.count(PostVerdict.ALREADY_POSTED) == 8
    state = await state_of(ledger)
    assert len(state.journal) == 1
    ((posted, pending, _),) = state.balances.values()
    assert (posted, pending) == (verdicts.index(PostVerdict.POSTED), 0)


async def test_a_post_and_a_void_at_once_end_the_hold_once(ledger):
    await ledger.reserve(plan("a", budget(40, 100)))
    posted, voided = await asyncio.gather(ledger.post(posting("a", 7)), ledger.void("a"))
    assert (posted, voided) in {
        (PostVerdict.POSTED, VoidVerdict.ALREADY_ENDED),
        (PostVerdict.UNKNOWN_HOLD, VoidVerdict.VOIDED),
    }
    assert len((await state_of(ledger)).journal) == 1


async def test_i2_many_reserves_at_once_never_pass_the_ceiling(ledger):
    receipts = await asyncio.gather(
        *(ledger.reserve(plan(f"r{number}", budget(30, 100))) for number in range(20))
    )
    assert sum(isinstance(receipt, Granted) for receipt in receipts) == 3


async def test_the_record_is_journalled_byte_for_byte(ledger):
    await ledger.reserve(plan("a", budget(40, 100)))
    record = b'{"text":"\xc3\xa9 \\u0000 \r\n"}\x00\xff'
    await ledger.post(replace(posting("a", 1), record=record))
    assert (await state_of(ledger)).journal == (record,)


async def test_i4_i13_overdue_holds_are_charged_longest_overdue_first(ledger, clock):
    for name, ttl_ms in (("late", 20), ("first", 5), ("second", 10)):
        await ledger.reserve(plan(name, budget(10, 100), ttl_ms=ttl_ms))
    clock.wait(10)
    assert await ledger.expire_due(1) == 1
    assert (await state_of(ledger)).journal == (b'{"draft":"first"}',)
    assert await ledger.expire_due(9) == 1
    state = await state_of(ledger)
    assert state.due == {"late": MIDNIGHT_MS + 20}
    assert state.journal == (b'{"draft":"first"}', b'{"draft":"second"}')


async def test_i13_an_expiry_before_the_deadline_is_refused_where_it_would_charge(ledger, clock):
    await ledger.reserve(plan("a", budget(10, 100), ttl_ms=10))
    clock.wait(9)
    assert not await ledger.expire("a")
    clock.wait(1)
    assert await ledger.expire("a")
    assert not await ledger.expire("a")
    assert not await ledger.expire("never")


async def test_a_call_without_limits_is_held_charged_and_journalled(ledger, clock):
    await ledger.reserve(plan("a"))
    await ledger.reserve(plan("b", ttl_ms=1))
    assert await ledger.post(posting("a", 5)) is PostVerdict.POSTED
    clock.wait(1)
    assert await ledger.expire_due(9) == 1
    state = await state_of(ledger)
    assert len(state.journal) == 2
    assert state.balances == {}


async def test_i10_a_hold_settles_in_the_window_it_was_granted_in(ledger, clock):
    clock.wait(DAY_MS - 1)
    receipt = await ledger.reserve(plan("a", budget(40, 100)))
    clock.wait(1)
    await ledger.post(posting("a", 30))
    assert receipt.utilisation[0].resets_at_ms == MIDNIGHT_MS + DAY_MS
    assert (await state_of(ledger)).balances == {"usd:org/acme:day:UTC:2026-05-01": (30, 0, 0)}


async def test_i7_requests_are_not_given_back_by_a_post(ledger):
    claim = rate(1, 5, resource=Resource.REQUESTS)
    await ledger.reserve(plan("a", claim))
    await ledger.post(posting("a", 0, tokens=0))
    assert (await state_of(ledger)).backlogs == {claim.account.key: (60_000, MIDNIGHT_MS)}
