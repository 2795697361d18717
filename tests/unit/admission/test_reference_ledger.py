"""The model's own promise: it forgets nothing. Its rules are held by spec and conformance."""

from __future__ import annotations

from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from tests.fakes.ledgers import HandClock, budget, plan, posting


async def test_it_keeps_every_hold_record_and_balance_for_a_test_to_look_at():
    ledger = ReferenceLedger(now_ms=HandClock())
    await ledger.reserve(plan("a", budget(5, 9)))
    await ledger.post(posting("a", 4))
    await ledger.reserve(plan("b", budget(5, 9)))
    assert {name: hold.state for name, hold in ledger.holds.items()} == {
        "a": HoldState.POSTED,
        "b": HoldState.PENDING,
    }
    assert ledger.journal == [posting("a", 4).record]
    (balance,) = ledger.balances.values()
    assert (balance.posted, balance.pending, balance.used) == (4, 5, 9)
