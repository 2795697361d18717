import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.plan import AS_ASKED
from gateway.admission.reference_ledger import HoldState
from gateway.admission.settlement import Ending, draft_record
from gateway.domain.errors import GatewayError
from gateway.domain.observer import CallSettled, CallVoided, SettlementFailed, UnexpectedError
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from gateway.domain.reservation import AdmissionPlan, Rank, Rung
from gateway.domain.tokens import Exact, TokenCounts, Usage
from gateway.journal.codec import encode_record
from gateway.proxy.drain import Calls
from gateway.proxy.settle import Settle, worst_case
from tests.fakes.calls import HOLD, admitted_call
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.ledgers import budget
from tests.fakes.observers import RememberingObserver
from tests.fakes.outboxes import MemoryOutbox
from tests.fakes.troubled_ledger import Trouble, TroubledLedger, away
from tests.fakes.waiting import until

MEASURED = Exact(usage=Usage(tokens=TokenCounts(input=10, output=5)))
COST = 10 * 250 + 5 * 1250
OK = Ending(status=CallStatus.OK, measurement=MEASURED, http_status=200)


class Desk:
    """A settle stage with one call whose hold stands in the ledger."""

    def __init__(self, *, pauses_s=(0, 0), is_writing=False) -> None:
        self.clock, self.calls, self.observer = FakeClock(), Calls(), RememberingObserver()
        self.ledger, self.outbox = TroubledLedger(self.clock), MemoryOutbox(is_writing=is_writing)
        self.released = []
        self.settle = Settle(
            self.ledger,
            self.outbox,
            self.calls,
            self.observer,
            self.clock,
            pauses_s=pauses_s,
            released=self.released.append,
        )
        self.admitted = admitted_call()

    async def reserve(self):
        draft = draft_record(self.admitted.admitted.context, hold_nano_usd=HOLD, at=NOON)
        claim = budget(HOLD, 10 * HOLD, at=NOON)
        rung = Rung(name=AS_ASKED, hold_nano_usd=HOLD, claims=(claim,))
        await self.ledger.books.reserve(
            AdmissionPlan(
                request_id="req-1",
                rungs=(rung,),
                ttl_ms=1000,
                policy_version="p1",
                draft=encode_record(draft),
            )
        )
        return self

    async def idle(self):
        await until(lambda: not len(self.calls))

    @property
    def state(self):
        return self.ledger.state("req-1")

    @property
    def record(self):
        (document,) = self.ledger.books.journal
        return json.loads(document)

    def told(self):
        return [type(fact) for fact in self.observer.facts]


async def test_a_measured_call_is_posted_with_its_record():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    assert (desk.state, desk.ledger.posted, desk.ledger.pending) == (HoldState.POSTED, COST, 0)
    assert (desk.record["cost_nano_usd"], desk.record["exact"]) == (COST, True)
    assert desk.record["settled_at"] == "2026-11-21T12:00:00.000Z"
    assert desk.told() == [CallSettled]


async def test_the_journal_gets_the_record_as_short_as_it_is_to_be():
    desk = await Desk(is_writing=True).reserve()
    desk.settle = Settle(
        desk.ledger,
        desk.outbox,
        desk.calls,
        desk.observer,
        desk.clock,
        shorten=lambda record: replace(record, metadata=(("short", "yes"),)),
    )
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        noted = json.loads(desk.outbox.noted["req-1"].record)
        hold.ended(OK)
    assert desk.record["metadata"] == {"short": "yes"}
    assert noted["metadata"] == {"short": "yes"}, "what a dead worker left is journalled as it is"
    assert desk.record["cost_nano_usd"] == COST


async def test_a_hold_left_before_anything_was_sent_is_released():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted):
        pass
    assert (desk.state, desk.ledger.posted, desk.ledger.pending) == (HoldState.VOIDED, 0, 0)
    assert desk.told() == [CallVoided]


async def test_a_hold_left_without_an_outcome_after_sending_is_charged_in_full():
    desk = await Desk().reserve()

    async def fail():
        async with desk.settle.hold(desk.admitted) as hold:
            hold.sending()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (desk.ledger.posted, desk.record["exact"]) == (HOLD, False)
    assert desk.record["error"] == "ended without an outcome"


async def test_a_call_that_proved_unbilled_is_released_though_it_was_sent():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.unbilled(429)
    assert (desk.state, desk.ledger.posted) == (HoldState.VOIDED, 0)
    assert desk.observer.facts[0].http_status == 429


@pytest.mark.parametrize("at", ["before", "sending", "ended"])
async def test_a_cancelled_call_still_ends_its_hold(at):
    desk, inside = await Desk().reserve(), asyncio.Event()

    async def call():
        async with desk.settle.hold(desk.admitted) as hold:
            if at != "before":
                hold.sending()
            if at == "ended":
                hold.ended(OK)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await desk.idle()
    assert desk.ledger.pending == 0
    assert desk.ledger.posted == {"before": 0, "sending": HOLD, "ended": COST}[at]


async def test_a_call_that_is_cancelled_again_and_again_while_it_settles_settles_once():
    desk = await Desk().reserve()
    gate = desk.ledger.hold_up("post")

    async def call():
        async with desk.settle.hold(desk.admitted) as hold:
            hold.sending()
            hold.ended(OK)

    task = asyncio.create_task(call())
    await desk.ledger.entered["post"].wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    gate.set()
    await desk.idle()
    assert (desk.ledger.posted, desk.ledger.count("post")) == (COST, 1)
    assert desk.told() == [CallSettled]


@given(
    st.lists(st.sampled_from(Trouble), max_size=5),
    st.sampled_from(["posted", "charged", "voided", "unsent"]),
)
async def test_whatever_the_line_does_a_hold_ends_at_most_once_and_never_below_its_due(
    troubles, how
):
    desk = await Desk(pauses_s=(0,) * 5).reserve()
    name = "post" if how in ("posted", "charged") else "void"
    desk.ledger.troubles[name] = [*troubles]
    async with desk.settle.hold(desk.admitted) as hold:
        if how != "unsent":
            hold.sending()
        if how == "posted":
            hold.ended(OK)
        if how == "voided":
            hold.unbilled(503)
    await desk.idle()
    due = {"posted": COST, "charged": HOLD, "voided": 0, "unsent": 0}[how]
    assert (desk.ledger.posted, desk.ledger.pending) == (due, 0)
    assert len(desk.ledger.books.journal) == (1 if name == "post" else 0)
    assert desk.ledger.count(name) == len(troubles) + 1
    assert len(desk.observer.facts) == 1


async def test_a_ledger_that_stays_away_is_told_and_the_deadline_charges_in_full():
    desk = await Desk().reserve()
    desk.ledger.troubles["post"] = [Trouble.REQUEST_LOST] * 3
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    await desk.idle()
    assert desk.told() == [SettlementFailed]
    desk.clock.advance(60)
    assert await desk.ledger.books.expire_due(10) == 1
    assert (desk.ledger.posted, desk.ledger.pending) == (HOLD, 0)
    assert (desk.record["exact"], desk.record["rank"]) == (False, 1)


async def test_a_settlement_after_the_deadline_corrects_the_charge():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        desk.clock.advance(60)
        await desk.ledger.books.expire_due(10)
        hold.ended(OK)
    assert (desk.ledger.posted, desk.ledger.pending) == (COST, 0)


async def test_a_bug_in_a_settlement_is_told_tried_again_and_does_not_reach_the_answer():
    desk = await Desk().reserve()
    desk.ledger.troubles["post"] = [RuntimeError("bug")]
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    await desk.idle()
    assert desk.told() == [UnexpectedError, CallSettled]
    assert desk.ledger.posted == COST


async def test_an_outcome_that_cannot_be_charged_is_told_and_left_to_the_deadline():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(replace(OK, measurement="nonsense"))
    await desk.idle()
    assert desk.told() == [UnexpectedError, SettlementFailed]
    assert desk.state is HoldState.PENDING


async def test_every_step_is_written_down_before_it_is_taken():
    desk = await Desk(is_writing=True).reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        assert desk.outbox.words == []
        hold.sending()
        assert desk.outbox.words == [("intent", "req-1")]
        assert desk.outbox.noted["req-1"] == worst_case(desk.admitted)
        hold.ended(OK)
        post = desk.ledger.hold_up("post")
        ending = asyncio.create_task(desk.ledger.entered["post"].wait())
        ending.add_done_callback(lambda _: noted.append([*desk.outbox.words]))
        ending.add_done_callback(lambda _: post.set())
        noted = []
    assert noted == [[("intent", "req-1"), ("finish", "req-1")]]
    assert desk.outbox.words[2:] == [("ack", "req-1")]
    assert desk.outbox.noted == {}


async def test_what_the_ledger_does_not_take_is_left_to_the_outbox():
    desk = await Desk(is_writing=True).reserve()
    desk.ledger.troubles["post"] = [Trouble.REQUEST_LOST]
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    await desk.idle()
    assert desk.ledger.count("post") == 1
    owed = await desk.outbox.first()
    assert (owed.charge, owed.rank) == (COST, Rank.MEASURED)
    assert desk.told() == []


async def test_an_outbox_that_is_back_before_the_ledger_takes_the_ending_over():
    desk = await Desk(pauses_s=(0,) * 20).reserve()
    desk.ledger.troubles["post"] = [Trouble.REQUEST_LOST] * 21
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    desk.outbox.is_writing = True
    await desk.idle()
    assert desk.ledger.count("post") < 21
    assert (await desk.outbox.first()).charge == COST
    assert desk.told() == []


async def test_an_outcome_that_cannot_be_charged_leaves_the_worst_case_to_the_outbox():
    desk = await Desk(is_writing=True).reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(replace(OK, measurement="nonsense"))
    assert (await desk.outbox.first()).charge == HOLD
    assert desk.told() == [UnexpectedError]


async def test_a_call_that_was_not_sent_leaves_no_note_behind():
    desk = await Desk(is_writing=True).reserve()
    async with desk.settle.hold(desk.admitted):
        pass
    assert (desk.outbox.noted, desk.outbox.owed) == ({}, [])


def local_call():
    call = admitted_call()
    return replace(call, admitted=replace(call.admitted, is_local=True))


async def test_a_call_that_its_worker_let_pass_is_sent_only_if_that_is_written_down():
    desk = Desk(is_writing=False)
    with pytest.raises(GatewayError) as raised:
        async with desk.settle.hold(local_call()) as hold:
            hold.sending()
    assert (raised.value.reason, raised.value.retry_after_s) == (Reason.LEDGER_UNAVAILABLE, 1)
    assert not hold.was_sent
    assert (desk.state, desk.ledger.posted) == (HoldState.VOIDED, 0)


async def test_a_call_that_its_worker_let_pass_is_posted_with_a_record_that_says_so():
    desk = Desk(is_writing=True)
    async with desk.settle.hold(local_call()) as hold:
        hold.sending()
        noted = json.loads(desk.outbox.noted["req-1"].record)
        hold.ended(OK)
    for record in (noted, desk.record):
        assert (record["decision"], record["reason"]) == ("admit_locally", "ledger_unavailable")
        assert record["accounts"] == ["usd:org/acme:month:UTC:2026-11"]
    assert (desk.record["cost_nano_usd"], desk.record["exact"]) == (COST, True)
    assert (desk.state, len(desk.outbox)) == (HoldState.UNHELD, 0)


@pytest.mark.parametrize("ending", [OK, None, replace(OK, measurement="nonsense")])
async def test_a_call_has_left_once_its_end_was_told_or_written_down(ending):
    desk = await Desk(is_writing=True).reserve()
    states = []
    desk.settle = Settle(
        desk.ledger,
        desk.outbox,
        desk.calls,
        desk.observer,
        desk.clock,
        left=lambda left: states.append((left, desk.state, len(desk.outbox))),
    )
    async with desk.settle.hold(desk.admitted) as hold:
        if ending is not None:
            hold.sending()
            hold.ended(ending)
    ((left, state, owed),) = states
    assert left is desk.admitted
    assert state in (HoldState.POSTED, HoldState.VOIDED) or owed == 1


def test_the_worst_case_is_the_hold_marked_as_an_estimate():
    admitted = admitted_call()
    worst = worst_case(admitted)
    record = json.loads(worst.record)
    assert (worst.charge, worst.rank, worst.tokens) == (HOLD, Rank.CONSERVATIVE, 60)
    assert (record["cost_nano_usd"], record["exact"], record["rank"]) == (HOLD, False, 1)
    assert record["accounts"] == list(admitted.admitted.accounts)


async def test_releasing_an_id_kills_a_reserve_that_arrives_late():
    desk = Desk()
    desk.settle.release("req-1")
    await desk.idle()
    await desk.reserve()
    assert (desk.state, desk.ledger.pending) == (HoldState.VOIDED, 0)


async def test_releasing_goes_on_while_the_ledger_is_away():
    desk = await Desk().reserve()
    desk.ledger.troubles["void"] = [away(), away()]
    desk.settle.release("req-1")
    await desk.idle()
    assert (desk.state, desk.ledger.count("void")) == (HoldState.VOIDED, 3)
    assert desk.told() == []


async def test_the_answer_waits_for_one_attempt_only():
    desk = await Desk(pauses_s=(3600,)).reserve()
    desk.ledger.troubles["post"] = [away()]
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
    assert (desk.ledger.count("post"), len(desk.calls)) == (1, 1)


async def test_a_call_that_was_not_billed_is_noted_and_one_that_was_is_not():
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.unbilled(429)
    (record,) = desk.released
    assert (record.request_id, record.http_status, record.cost_nano_usd) == ("req-1", 429, 0)
    desk = await Desk().reserve()
    async with desk.settle.hold(desk.admitted) as hold:
        hold.sending()
        hold.ended(OK)
    assert desk.released == []
