"""A ledger in memory on which policies are tried: no server is asked and no money is spent."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from gateway.admission.accounts import balance_key, budget_account
from gateway.admission.choose import Balance
from gateway.admission.reference_ledger import ReferenceLedger
from gateway.domain.period import windows_at
from gateway.domain.reservation import AdmissionPlan, Posting, Receipt
from gateway.policy.effective import BudgetLimit

_Answer = TypeVar("_Answer")


class TrialLedger:
    """The plain-Python ledger, by a clock that is moved by hand. Units: milliseconds."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._ledger = ReferenceLedger(now_ms=lambda: self.now_ms)

    def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all."""
        return _now(self._ledger.reserve(plan))

    def post(self, posting: Posting) -> None:
        """Turns the hold into a charge."""
        _now(self._ledger.post(posting))

    def spent(self, budget: BudgetLimit, at: datetime) -> int:
        """What was charged to a budget in the window of an instant. Units: nano-USD."""
        return self._ledger.balances.get(_key(budget, at), Balance()).posted

    def spend(self, budgets: Iterable[BudgetLimit], at: datetime, nano_usd: int) -> None:
        """Charges budgets without asking whether it may; two that count in one account, once."""
        for key in {_key(budget, at) for budget in budgets}:
            before = self._ledger.balances.get(key, Balance())
            self._ledger.balances[key] = replace(before, posted=before.posted + nano_usd)


def _key(budget: BudgetLimit, at: datetime) -> str:
    current, _ = windows_at(budget.period, budget.zone, at)
    return balance_key(budget_account(budget), current)


def _now(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What the model of the ledger answers: it never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: _Answer = done.value
        return answer
    work.close()
    raise AssertionError("the ledger in memory does not wait")
