"""A budget, a rate and a few places as a state machine: Hypothesis looks for a way to break it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from gateway.domain.reservation import Granted, PostVerdict, VoidVerdict
from tests.fakes.ledgers import HandClock, budget, lease, plan, posting, rate

CEILING, PLACES, CAPACITY = 100, 2, 50


def done(coroutine):
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the model waits for nobody")


class Ledger(RuleBasedStateMachine):
    """The model ledger under any order of calls; Redis is tied to it by the differential test."""

    calls = Bundle("calls")

    def __init__(self):
        super().__init__()
        self.clock = HandClock()
        self.ledger = ReferenceLedger(now_ms=self.clock)
        self.charges = {}
        self.names = 0
        self.overspent = 0

    @rule(target=calls, amount=st.integers(0, 60), tokens=st.integers(1, 50), ttl=st.integers(1, 9))
    def reserve(self, amount, tokens, ttl):
        self.names += 1
        name = f"r{self.names}"
        claims = (
            budget(amount, CEILING, at=self.clock.instant),
            rate(tokens, CAPACITY),
            lease(PLACES),
        )
        receipt = done(self.ledger.reserve(plan(name, *claims, ttl_ms=ttl * 1_000)))
        if isinstance(receipt, Granted):
            assert all(state.used <= state.ceiling for state in receipt.utilisation), "I2, I8"
            return name
        return multiple()

    @rule(name=calls, charge=st.integers(0, 80), tokens=st.integers(0, 90))
    def post(self, name, charge, tokens):
        was = self.ledger.holds[name].state
        verdict = done(self.ledger.post(posting(name, charge, tokens=tokens)))
        if verdict in (PostVerdict.POSTED, PostVerdict.CORRECTED):
            assert was in (HoldState.PENDING, HoldState.EXPIRED)
            self.charges[name] = charge

    @rule(name=calls)
    def void(self, name):
        was = self.ledger.holds[name].state
        verdict = done(self.ledger.void(name))
        assert (verdict is VoidVerdict.VOIDED) is (was is HoldState.PENDING)
        assert (verdict is VoidVerdict.CORRECTED) is (was is HoldState.EXPIRED)
        if verdict is VoidVerdict.CORRECTED:
            self.charges[name] = 0

    @rule(names=st.lists(calls, max_size=3), ttl=st.integers(1, 9))
    def beat(self, names, ttl):
        assert done(self.ledger.heartbeat(names, ttl * 1_000)) == []

    @rule(seconds=st.integers(0, 7))
    def wait(self, seconds):
        self.clock.wait(seconds * 1_000)

    @rule()
    def expire(self):
        pending = {n for n, h in self.ledger.holds.items() if h.state is HoldState.PENDING}
        overdue = {n for n in pending if self.ledger.holds[n].deadline_ms <= self.clock()}
        assert done(self.ledger.expire_due(100)) == len(overdue), "I13, I4"
        for name in overdue:
            self.charges[name] = self.ledger.holds[name].charge

    @invariant()
    def books_agree(self):
        pending = {n for n, h in self.ledger.holds.items() if h.state is HoldState.PENDING}
        held = sum(h.taken[0].amount for n, h in self.ledger.holds.items() if n in pending)
        assert sum(b.pending for b in self.ledger.balances.values()) == held, "I1"
        assert sum(b.posted for b in self.ledger.balances.values()) == sum(self.charges.values())
        for balance in self.ledger.balances.values():
            assert min(balance.posted, balance.pending, balance.overrun) >= 0, "I9"
            assert balance.used <= CEILING + balance.overrun, "I2"
        live = self.ledger.accounts.live("concurrency:org/acme", self.clock())
        assert len(live) <= PLACES, "I8"
        assert set(live) <= pending


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
