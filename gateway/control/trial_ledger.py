"""A ledger in memory on which policies are tried: no server is asked and no money is spent."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from gateway.admission.accounts import amount_of, balance_key, budget_account, home_key
from gateway.admission.choose import Balance, Fitting, choose
from gateway.admission.reference_accounts import Taken
from gateway.admission.reference_ledger import Hold, HoldState, ReferenceLedger
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

    def fits(self, plan: AdmissionPlan) -> bool:
        """Whether the plan would be granted now. Nothing is taken."""
        choice = choose(plan.rungs, self._ledger.accounts.states(), self.now_ms)
        return isinstance(choice, Fitting)

    def hold(self, plan: AdmissionPlan, only: Collection[str]) -> None:
        """Takes the first rung in these accounts, whatever the limits say: it did happen."""
        taken: dict[str, Taken] = {}
        for claim in plan.rungs[0].claims:
            key = home_key(claim, self.now_ms)
            if key is not None and key in only and key not in taken:
                taken[key] = Taken(key=key, claim=claim, amount=amount_of(claim, 0))
        held, deadline_ms = tuple(taken.values()), self.now_ms + plan.ttl_ms
        self._ledger.accounts.take(held, plan.request_id, self.now_ms, deadline_ms)
        self._ledger.holds[plan.request_id] = Hold(
            state=HoldState.PENDING, taken=held, deadline_ms=deadline_ms
        )

    def post(self, posting: Posting) -> None:
        """Turns the hold into a charge."""
        _now(self._ledger.post(posting))

    def spent(self, budget: BudgetLimit, at: datetime) -> int:
        """What was charged to a budget in the window of an instant. Units: nano-USD."""
        return self._ledger.balances.get(_key(budget, at), Balance()).posted

    def spend(
        self,
        budgets: Iterable[BudgetLimit],
        at: datetime,
        nano_usd: int,
        only: Collection[str] | None = None,
    ) -> None:
        """Charges budgets without asking whether it may; two that count in one account, once.

        `only`: those of these accounts; None: all.
        """
        for key in {_key(budget, at) for budget in budgets}:
            if only is not None and key not in only:
                continue
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
