"""Budgets at the instants where calendars are odd, on the real ledger: said, kept, and reset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.judge import judge
from gateway.admission.plan import make_plan
from gateway.control.policy_trial import Trial, TrialRules, try_call
from gateway.domain.decision import Admit, Refuse
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from gateway.domain.reservation import Posting, Rank
from gateway.policy.cases import Given, When
from gateway.policy.effective import effective_policy
from gateway.policy.parse import parse_policies
from tests.fakes.calls import ADA, HAIKU, catalogue, price_book, quote_of
from tests.fakes.ledgers import HandClock

LIMIT = 1_000_000
EDGES = [
    # zone, period, the instant at which one window ends, how long it was (hours)
    ("Europe/Berlin", "day", "2026-03-28T23:00Z", 24),
    ("Europe/Berlin", "day", "2026-03-29T22:00Z", 23),
    ("Europe/Berlin", "day", "2026-10-25T23:00Z", 25),
    ("Europe/Berlin", "hour", "2026-03-29T01:00Z", 1),  # 02:00 is skipped
    ("Europe/Berlin", "hour", "2026-10-25T00:00Z", 1),
    ("Europe/Berlin", "hour", "2026-10-25T01:00Z", 1),  # 02:00 comes twice, and counts twice
    ("Europe/Berlin", "week", "2026-03-29T22:00Z", 167),
    ("Europe/Berlin", "month", "2026-10-31T23:00Z", 31 * 24 + 1),
    ("America/New_York", "day", "2026-03-09T04:00Z", 23),
    ("America/New_York", "day", "2026-11-02T05:00Z", 25),
    ("America/New_York", "month", "2026-12-01T05:00Z", 30 * 24 + 1),
    ("Australia/Lord_Howe", "day", "2026-04-05T13:30Z", 24.5),
    ("Australia/Lord_Howe", "day", "2026-10-04T13:00Z", 23.5),
    ("Australia/Lord_Howe", "hour", "2026-04-04T15:30Z", 0.5),
    ("Australia/Lord_Howe", "hour", "2026-10-03T16:00Z", 0.5),
    ("Pacific/Chatham", "hour", "2026-09-26T14:15Z", 1),  # 02:45 becomes 03:45 within it
    ("Pacific/Chatham", "hour", "2026-04-04T14:15Z", 1),
    ("Asia/Kathmandu", "hour", "2026-07-01T05:15Z", 1),
    ("Asia/Kathmandu", "day", "2026-07-01T18:15Z", 24),
    ("Pacific/Apia", "day", "2011-12-30T10:00Z", 24),  # the 30th never was
    ("Pacific/Apia", "week", "2012-01-01T10:00Z", 144),
    ("America/St_Johns", "day", "2010-11-07T02:30Z", 24),  # and at 00:01 it is the day before
    ("America/Caracas", "hour", "2016-05-01T07:00Z", 0.5),
    ("UTC", "week", "2021-01-04T00:00Z", 168),  # ends week 53 of 2020
    ("UTC", "month", "2028-03-01T00:00Z", 29 * 24),
    ("UTC", "month", "2027-01-01T00:00Z", 31 * 24),
    ("UTC", "day", "2028-02-29T00:00Z", 24),
]


@pytest.fixture
async def desk(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    await ledger.start()
    yield Desk(ledger, clock)
    await client.aclose()


class Desk:
    """One org with one budget, and a ledger whose clock is moved by hand."""

    def __init__(self, ledger, clock):
        self.ledger, self.clock = ledger, clock
        self.count = 0

    def opens(self, zone, period, rolling=""):
        self.policies = parse_policies({"acme.yaml": f"""
version: 1
org: acme
timezone: {zone}
budgets:
  - {{name: all, scope: org, period: {period}, limit_usd: 0.001{rolling}}}
"""})  # fmt: skip

    async def call(self, at, *, plan_at=None, amount=LIMIT):
        """Asks for an amount and spends it; `plan_at`: what the gateway's own clock says."""
        self.clock.at_ms = round(at.timestamp() * 1000)
        self.count += 1
        request_id = RequestId(f"r{self.count}")
        plan = make_plan(
            request_id=request_id,
            policy=effective_policy(self.policies, ADA, at=at),
            quote=quote_of(amount),
            now=plan_at or at,
            draft=b"{}",
            ttl_ms=60_000,
        )
        decision = judge(plan, quote_of(amount), await self.ledger.reserve(plan))
        if isinstance(decision, Admit):
            await self.ledger.post(
                Posting(
                    request_id=request_id,
                    charge=NanoUsd(amount),
                    tokens=0,
                    rank=Rank.MEASURED,
                    record=b"{}",
                )
            )
        return decision

    def explained(self, at, zone):
        """What `policy explain` says of a call at the instant, in the zone of its caller."""
        rules = TrialRules(policies=self.policies, catalogue=catalogue(), prices=price_book())
        trial = Trial(
            given=Given.model_validate({"org": "acme", "spent_usd": {"all": 1}}),
            when=When.model_validate(
                {"model": HAIKU, "operation": "converse", "max_tokens": 9, "input_tokens": 9,
                 "at": at.astimezone(zone).isoformat()}
            ),
        )  # fmt: skip
        return try_call(trial, rules).decision.detail


def said(end):
    return f"It resets at {end:%Y-%m-%dT%H:%M:%S}.000Z."


MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(("zone", "period", "end", "hours"), EDGES)
async def test_a_budget_is_new_at_the_instant_it_said_and_not_before(
    desk, zone, period, end, hours
):
    end = datetime.fromisoformat(end).astimezone(UTC)
    begin = end - timedelta(hours=hours)
    desk.opens(zone, period)
    # The last millisecond before belongs to the window before.
    assert isinstance(await desk.call(begin - MS), Admit)
    assert isinstance(await desk.call(begin), Admit)
    for at in (begin, begin + (end - begin) / 3, end - MS):
        # A gateway whose clock is a little ahead or behind changes nothing.
        for skew in (timedelta(0), timedelta(seconds=2), timedelta(seconds=-2)):
            plan_at = at + skew
            decision = await desk.call(at, plan_at=plan_at, amount=1)
            assert isinstance(decision, Refuse)
            if decision.reason is Reason.STALE_PLAN:  # planned for another window: asked once more
                assert skew
                continue
            assert decision.blocking.resets_at_ms == round(end.timestamp() * 1000)
            assert said(end) in decision.detail
        assert said(end) in desk.explained(at, ZoneInfo(zone))
        assert said(end) in desk.explained(at, UTC)
    assert isinstance(await desk.call(end), Admit)
    refused = await desk.call(end, amount=1)
    assert refused.blocking.resets_at_ms > round(end.timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "period", "ends"),
    [
        ("Europe/Berlin", "day", ["2026-03-28T23:00Z", "2026-03-29T22:00Z", "2026-03-30T22:00Z"]),
        ("America/New_York", "hour", ["2026-11-01T05:00Z", "2026-11-01T06:00Z",
                                      "2026-11-01T07:00Z"]),
        ("Pacific/Apia", "day", ["2011-12-29T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"]),
        ("UTC", "week", ["2020-12-28T00:00Z", "2021-01-04T00:00Z", "2021-01-11T00:00Z"]),
        ("UTC", "month", ["2028-02-01T00:00Z", "2028-03-01T00:00Z", "2028-04-01T00:00Z"]),
    ],
)  # fmt: skip
async def test_a_rolling_budget_forgets_a_whole_window_at_a_time(desk, zone, period, ends):
    first, second, third = (datetime.fromisoformat(end).astimezone(UTC) for end in ends)
    desk.opens(zone, period, ", rolling: 1")
    assert isinstance(await desk.call(first - MS, amount=600_000), Admit)
    assert isinstance(await desk.call(first, amount=400_000), Admit)
    assert isinstance(await desk.call(second - MS, amount=1), Refuse)
    # What was spent in the window before the last counts no more, the rest does.
    assert isinstance(await desk.call(second, amount=600_001), Refuse)
    assert isinstance(await desk.call(second, amount=600_000), Admit)
    assert isinstance(await desk.call(third - MS, amount=1), Refuse)
    assert isinstance(await desk.call(third, amount=400_000), Admit)
