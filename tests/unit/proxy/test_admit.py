import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.admission.reference_ledger import HoldState
from gateway.domain.decision import Refuse
from gateway.domain.errors import Fault, GatewayError, LedgerNotAskedError
from gateway.domain.ids import RequestId
from gateway.domain.reason import Reason
from gateway.domain.reservation import Division, Rung, Seen, SeenKind
from gateway.domain.scope import Scope
from gateway.journal.codec import decode_document
from gateway.proxy.admit import Admit, refused, resolve
from gateway.proxy.admit_locally import LocalAdmission
from tests.fakes.calls import HAIKU, catalogue_model, converse_body, identified_call
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.data_plane import POLICY, rules
from tests.fakes.ledgers import budget, plan
from tests.fakes.outboxes import MemoryOutbox
from tests.fakes.stop_knowledge import ToldStops, stop
from tests.fakes.troubled_ledger import Trouble, TroubledLedger

HOURLY = POLICY.replace("period: month", "period: hour")


class Gate:
    """An admit stage; `released` are the ids it gave up."""

    def __init__(self, policy=POLICY, *, ledger_clock=None, is_local=False) -> None:
        self.clock, self.outbox, self.stops = FakeClock(), MemoryOutbox(), ToldStops()
        self.ledger = TroubledLedger(ledger_clock or self.clock)
        self.released: list[RequestId] = []
        self.editions = [rules(policy)]
        local = LocalAdmission(
            self.stops, self.outbox, self.clock, workers=1, owed=self.outbox.__len__
        )
        self.stage = Admit(
            lambda: self.editions.pop(0) if len(self.editions) > 1 else self.editions[0],
            self.ledger,
            self.clock,
            release=self.released.append,
            hold_ttl_ms=60_000,
            local=local if is_local else None,
        )

    async def refusal(self, identified):
        with pytest.raises(GatewayError) as raised:
            await self.stage(identified)
        return raised.value


async def test_the_hold_is_the_upper_bound_of_the_call_and_stands_in_the_ledger():
    gate = Gate()
    identified = identified_call()
    found = await gate.stage(identified)
    quote = found.admitted.context.quote
    assert found.identified is identified
    assert found.admitted.hold_nano_usd == quote.hold_nano_usd == gate.ledger.pending
    assert quote.hold_nano_usd >= 4096 * 1250
    assert (quote.max_output_tokens, quote.inject_max_tokens) == (4096, True)
    assert (found.admitted_at, found.admitted.at_ms) == (NOON, NOON.timestamp() * 1000)
    assert found.admitted.accounts == ("usd:org/acme:month:UTC:2026-11",)
    assert found.admitted.utilisation[0].used == quote.hold_nano_usd
    assert gate.released == []


async def test_the_draft_charges_the_hold_if_nobody_settles_the_call():
    gate = Gate()
    await gate.stage(identified_call())
    gate.clock.advance(61)
    await gate.ledger.books.expire_due(1)
    (document,) = gate.ledger.books.journal
    record = decode_document(document)
    assert record["cost_nano_usd"] == record["hold_nano_usd"] == gate.ledger.posted
    assert (record["exact"], record["rank"], record["status"]) == (False, 1, "unknown")
    assert (record["org"], record["user"], record["operation"]) == ("acme", "ada", "Converse")


async def test_the_draft_is_as_short_as_the_journal_has_room():
    gate = Gate()
    gate.stage = Admit(
        lambda: gate.editions[0],
        gate.ledger,
        gate.clock,
        release=gate.released.append,
        hold_ttl_ms=60_000,
        shorten=lambda record: replace(record, environment="short"),
    )
    await gate.stage(identified_call())
    gate.clock.advance(61)
    await gate.ledger.books.expire_due(1)
    (document,) = gate.ledger.books.journal
    assert decode_document(document)["environment"] == "short"


async def test_while_the_journal_is_full_nothing_is_admitted():
    gate, is_full = Gate(), True
    gate.stage = Admit(
        lambda: gate.editions[0],
        gate.ledger,
        gate.clock,
        release=gate.released.append,
        hold_ttl_ms=60_000,
        is_journal_full=lambda: is_full,
    )
    error = await gate.refusal(identified_call())
    assert (error.reason, error.fault, error.retry_after_s) == (
        Reason.OVERLOADED,
        Fault.GATEWAY,
        5,
    )
    assert gate.ledger.commands == []
    is_full = False
    await gate.stage(identified_call())


async def test_a_budget_that_cannot_take_the_hold_refuses_and_holds_nothing():
    gate = Gate(POLICY.replace("limit_usd: 1", "limit_usd: 0.001"))
    error = await gate.refusal(identified_call())
    assert (error.reason, error.fault) == (Reason.BUDGET_EXHAUSTED, Fault.CALLER)
    assert (gate.ledger.pending, gate.ledger.commands, gate.released) == (
        0,
        [("reserve", "req-1")],
        [],
    )


async def test_a_model_the_policy_denies_never_reaches_the_ledger():
    gate = Gate(POLICY.replace('allow: ["*"]', 'allow: ["amazon.*"]'))
    assert (await gate.refusal(identified_call())).reason is Reason.MODEL_NOT_ALLOWED
    assert gate.ledger.commands == []


async def test_an_operation_the_policy_does_not_list_never_reaches_the_ledger():
    gate = Gate(POLICY + "operations: {allow: [invoke_model]}\n")
    assert (await gate.refusal(identified_call())).reason is Reason.OPERATION_NOT_ALLOWED
    assert gate.ledger.commands == []


async def test_an_org_without_a_policy_may_do_nothing():
    gate = Gate(POLICY.replace("org: acme", "org: other"))
    assert (await gate.refusal(identified_call())).reason is Reason.OPERATION_NOT_ALLOWED


async def test_a_call_that_can_never_fit_a_rate_is_refused_before_the_ledger_is_asked():
    gate = Gate(POLICY + "limits: [{scope: user, tokens_per_minute: 5}]\n")
    error = await gate.refusal(identified_call(body=converse_body("x" * 500)))
    assert error.reason is Reason.CLAIM_ABOVE_CAPACITY
    assert gate.ledger.commands == []


async def test_a_model_without_a_known_longest_answer_needs_a_limit_of_the_request():
    model = catalogue_model(max_output_tokens=None)
    gate = Gate()
    error = await gate.refusal(identified_call(model))
    assert error.reason is Reason.OUTPUT_LIMIT_UNKNOWN
    limited = converse_body(inferenceConfig={"maxTokens": 9})
    found = await gate.stage(identified_call(model, body=limited))
    assert found.admitted.context.quote.max_output_tokens == 9


async def test_a_model_without_a_price_is_held_at_the_ceiling():
    gate = Gate(POLICY.replace("limit_usd: 1", "limit_usd: 100000"))
    dear = catalogue_model("anthropic.claude-unpriced-v1:0")
    path = "/model/anthropic.claude-unpriced-v1%3A0/converse"
    found = await gate.stage(identified_call(dear, path=path))
    assert found.admitted.context.quote.sheet.is_ceiling
    assert found.admitted.hold_nano_usd >= 4096 * 300_000


@pytest.mark.parametrize("skew", [timedelta(seconds=-2), timedelta(hours=-5), timedelta(hours=5)])
async def test_the_ledgers_clock_decides_the_window_however_wrong_ours_is(skew):
    """I10: a gateway whose clock is off plans again by the ledger's."""
    ledger_clock = FakeClock(NOON + skew)
    gate = Gate(HOURLY, ledger_clock=ledger_clock)
    found = await gate.stage(identified_call())
    assert found.admitted_at == ledger_clock.now()
    assert gate.ledger.count("reserve") == 2
    assert found.admitted.accounts == (f"usd:org/acme:hour:UTC:{NOON + skew:%Y-%m-%dT%H}00Z",)
    assert gate.ledger.pending == found.admitted.hold_nano_usd


async def test_a_plan_that_stays_stale_is_refused_for_now():
    gate = Gate(HOURLY, ledger_clock=Jumping())
    error = await gate.refusal(identified_call())
    assert (error.reason, error.fault) == (Reason.STALE_PLAN, Fault.GATEWAY)
    assert (gate.ledger.count("reserve"), gate.ledger.pending) == (2, 0)


@pytest.mark.parametrize("trouble", [Trouble.REPLY_LOST, Trouble.REQUEST_LOST, ValueError("bug")])
async def test_an_answer_that_was_lost_releases_the_id(trouble):
    gate = Gate()
    gate.ledger.troubles["reserve"] = [trouble]
    with pytest.raises((GatewayError, ValueError)):
        await gate.stage(identified_call())
    assert gate.released == ["req-1"]


async def test_a_call_that_is_cut_while_the_ledger_is_asked_releases_the_id():
    gate = Gate()
    gate.ledger.hold_up("reserve")
    task = asyncio.create_task(gate.stage(identified_call()))
    await gate.ledger.entered["reserve"].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.released == ["req-1"]


async def test_a_call_that_is_cut_just_when_the_answer_is_there_releases_the_id():
    gate = Gate()
    opened = gate.ledger.hold_up("reserve")
    task = asyncio.create_task(gate.stage(identified_call()))
    await gate.ledger.entered["reserve"].wait()
    opened.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.released == ["req-1"]


async def test_an_id_that_was_ended_is_never_admitted():
    gate = Gate()
    await gate.ledger.books.void("req-1")
    assert (await gate.refusal(identified_call())).reason is Reason.STALE_PLAN
    assert gate.ledger.state("req-1") is HoldState.VOIDED


ALLOWANCE = POLICY + "on_outage: {budgets: local_allowance, allowance_usd: 0.011}\n"


@pytest.mark.parametrize(
    ("trouble", "released"),
    [(LedgerNotAskedError("away"), []), (Trouble.REPLY_LOST, ["req-1"])],
)
async def test_a_ledger_that_is_away_refuses_all_money_unless_somebody_chose_otherwise(
    trouble, released
):
    gate = Gate(is_local=True)
    gate.ledger.troubles["reserve"] = [trouble]
    error = await gate.refusal(identified_call())
    assert (error.reason, error.fault, error.retry_after_s) == (
        Reason.LEDGER_UNAVAILABLE,
        Fault.GATEWAY,
        1,
    )
    assert "budget 'month' of org/acme" in error.detail
    assert gate.released == released


@pytest.mark.parametrize(
    "trouble", [LedgerNotAskedError("away"), Trouble.REQUEST_LOST, Trouble.REPLY_LOST]
)
async def test_an_allowance_lets_calls_pass_up_to_its_bound_and_their_own_end_is_their_end(trouble):
    gate = Gate(ALLOWANCE, is_local=True)
    gate.ledger.troubles["reserve"] = [trouble, trouble, LedgerNotAskedError("away")]
    for _ in range(2):
        found = await gate.stage(identified_call())
        assert found.admitted.is_local
        assert found.admitted.hold_nano_usd == found.admitted.context.quote.hold_nano_usd
        assert found.admitted.accounts == ("usd:org/acme:month:UTC:2026-11",)
        assert (found.admitted_at, found.admitted.at_ms) == (NOON, NOON.timestamp() * 1000)
    assert (await gate.refusal(identified_call())).reason is Reason.LEDGER_UNAVAILABLE
    assert gate.released == []


async def test_a_call_that_passes_counts_in_the_window_of_the_clock_that_planned_it():
    ledger_clock = FakeClock(NOON + timedelta(hours=5))
    hourly = ALLOWANCE.replace("period: month", "period: hour")
    gate = Gate(hourly, ledger_clock=ledger_clock, is_local=True)
    gate.ledger.troubles["reserve"] = [None, Trouble.REQUEST_LOST]
    found = await gate.stage(identified_call())
    assert gate.ledger.count("reserve") == 2
    assert found.admitted.accounts == ("usd:org/acme:hour:UTC:2026-11-21T1700Z",)


async def test_a_stop_that_is_known_refuses_without_the_ledger():
    gate = Gate(ALLOWANCE, is_local=True)
    gate.stops.stops.append(stop(Scope.org("acme")))
    gate.ledger.troubles["reserve"] = [LedgerNotAskedError("away")]
    error = await gate.refusal(identified_call())
    assert (error.reason, error.fault) == (Reason.EMERGENCY_STOP, Fault.CALLER)


async def test_an_error_that_is_not_the_ledgers_absence_lets_nobody_pass():
    gate = Gate(ALLOWANCE, is_local=True)
    gate.ledger.troubles["reserve"] = [GatewayError(Reason.INTERNAL_ERROR)]
    assert (await gate.refusal(identified_call())).reason is Reason.INTERNAL_ERROR
    assert gate.released == ["req-1"]


async def test_a_ledger_that_is_recovering_is_not_away():
    gate = Gate(ALLOWANCE, is_local=True)
    gate.ledger.books.control.building = 1
    assert (await gate.refusal(identified_call())).reason is Reason.LEDGER_UNAVAILABLE


def edition(version, policy=POLICY):
    seen = Seen(kind=SeenKind.POLICY, name="all", version=version)
    return replace(rules(policy), seen=(seen,))


async def test_a_stale_plan_is_made_anew_once_from_the_newest_rules():
    """I12: what was published counts, whoever has not heard of it."""
    gate = Gate()
    newest = edition(2, POLICY.replace("name: month", "name: new month"))
    gate.editions = [edition(1), newest]
    gate.ledger.books.control.learn(newest.seen)
    found = await gate.stage(identified_call())
    assert gate.ledger.count("reserve") == 2
    assert found.admitted.context.policy_version == newest.policies.version
    assert found.admitted.utilisation[0].account.name == "new month"


class Fetching:
    """An admit stage whose rules are fetched when it asks; `arriving` come one a time."""

    def __init__(self, gate, *arriving):
        self.gate, self.arriving, self.fetched = gate, list(arriving), 0
        self.rules = edition(1)
        gate.stage = Admit(
            lambda: self.rules,
            gate.ledger,
            gate.clock,
            release=gate.released.append,
            hold_ttl_ms=60_000,
            refresh=self.refresh,
        )

    async def refresh(self):
        self.fetched += 1
        if self.arriving:
            self.rules = self.arriving.pop(0)


async def test_newer_rules_that_the_ledger_knows_of_are_fetched_at_once():
    gate = Gate()
    fetching = Fetching(gate, edition(2))
    gate.ledger.books.control.learn(edition(2).seen)
    found = await gate.stage(identified_call())
    assert fetching.fetched == 1
    assert found.admitted.context.policy_version == edition(2).policies.version


async def test_rules_that_are_overtaken_while_they_are_fetched_are_fetched_again():
    gate = Gate()
    fetching = Fetching(gate, edition(2), edition(3))
    gate.ledger.books.control.learn(edition(3).seen)
    assert await gate.stage(identified_call())
    assert fetching.fetched == 2


async def test_a_plan_is_not_made_anew_for_ever():
    gate = Gate()
    fetching = Fetching(gate, *(edition(number) for number in range(2, 20)))
    gate.ledger.books.control.learn(edition(99).seen)
    assert (await gate.refusal(identified_call())).reason is Reason.STALE_PLAN
    assert fetching.fetched == 3


async def test_a_stale_plan_without_newer_rules_is_refused_for_now():
    gate = Gate()
    gate.editions = [edition(1)]
    gate.ledger.books.control.learn(edition(2).seen)
    assert (await gate.refusal(identified_call())).reason is Reason.STALE_PLAN
    assert gate.ledger.count("reserve") == 1
    gate.editions = [edition(1), edition(1), edition(1)]
    assert (await gate.refusal(identified_call())).reason is Reason.STALE_PLAN
    assert gate.ledger.count("reserve") == 3


async def test_the_hold_of_a_divisible_rung_is_what_was_granted_of_it(monkeypatch):
    rung = Rung(
        name="part",
        hold_nano_usd=10,
        claims=(budget(10, 30, at=NOON, unit=2),),
        division=Division(least=0, most=100, unit_nano_usd=2),
    )
    monkeypatch.setattr(
        "gateway.proxy.admit.make_plan",
        lambda **asked: replace(plan(asked["request_id"]), rungs=(rung,)),
    )
    gate = Gate()
    found = await gate.stage(identified_call())
    assert found.admitted.hold_nano_usd == gate.ledger.pending == 30
    assert found.rung is rung


def test_resolving_names_the_edition_that_decided():
    policy = resolve(rules(), identified_call(), NOON)
    assert policy.version == rules().policies.version


def test_a_refusal_keeps_its_detail_and_its_time_to_wait():
    error = refused(Refuse(reason=Reason.RATE_LIMITED, detail="slow down", retry_after_s=3), "v1")
    assert (error.detail, error.retry_after_s, error.fault) == ("slow down", 3, Fault.CALLER)
    assert error.decided_by == "v1"
    assert refused(Refuse(reason=Reason.STALE_PLAN, detail=""), "v1").fault is Fault.GATEWAY


async def test_free_text_of_a_body_never_breaks_the_record():
    lone = json.dumps({"messages": [{"role": "user", "content": [{"text": "\ud800"}]}]}).encode()
    gate = Gate()
    assert (await gate.stage(identified_call(body=lone))).identified.model.base_id == HAIKU


class Jumping(FakeClock):
    """A clock nobody can plan by."""

    def now(self):
        self.advance(4 * 3600)
        return super().now()
