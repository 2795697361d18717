"""What commands see of budgets, and how they change them: straight in the stores of this host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.adapters.redis.balances import LedgerBalances
from gateway.adapters.system import SystemClock
from gateway.compose.audit import audit_event, command_actor, make_audit_trail
from gateway.compose.publishing import open_publishing
from gateway.compose.stores import ledger_shards, open_journal_client, open_tables
from gateway.control.audit import AuditOutcome
from gateway.control.budgets import BudgetReading, KnownBudget, known_budgets, read_budget
from gateway.control.bundle import PolicyBundle, compile_bundle
from gateway.control.ports import AccountBalance
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedRules
from gateway.settings import Settings

_ACTION = "budget.change"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget at one place, and what stands in its accounts."""

    reading: BudgetReading
    balance: AccountBalance


async def list_budgets(settings: Settings) -> Sequence[KnownBudget]:
    """All budgets in force. Raises: GatewayError, DocumentError."""
    async with open_publishing(settings) as publishing:
        current = await publishing.current()
    return known_budgets(compile_bundle(current)) if current is not None else ()


async def budget_states(settings: Settings, place: Scope) -> Sequence[BudgetState]:
    """The budgets that count calls of this place and of those above it, with their balances.

    Raises: GatewayError, DocumentError.
    """
    async with open_publishing(settings) as publishing:
        current = await publishing.current()
    if current is None:
        return ()
    policies, now = compile_bundle(current), SystemClock().now()
    places = _with_parents(place)
    readings = [
        reading
        for budget in known_budgets(policies)
        for at in places
        if (reading := read_budget(policies, budget, at, now)) is not None
    ]
    async with open_journal_client(settings) as client:
        balances = LedgerBalances(client, ledger_shards(settings))
        return [
            BudgetState(
                reading=reading, balance=await balances.read(reading.place, reading.accounts)
            )
            for reading in readings
            if reading.limit is not None
        ]


async def change_rules(
    settings: Settings,
    observer: Observer,
    change: Callable[[ManagedRules], ManagedRules],
    *,
    resource: str,
    why: str,
    context: Mapping[str, str],
) -> PolicyBundle:
    """Changes what is made by API, on the record. Raises: GatewayError, DocumentError, KeyError."""
    actor = command_actor()
    async with (
        open_tables(settings) as tables,
        open_publishing(settings, tables) as publishing,
    ):
        trail = make_audit_trail(settings, tables, observer)
        context = {**context, "why": why}
        await trail.record(audit_event(actor, _ACTION, resource, context=context))
        try:
            return await publishing.publisher.change_managed(
                change, by=actor, why=f"{resource}: {why}", at=SystemClock().now()
            )
        except (GatewayError, ValueError, KeyError):
            failed = AuditOutcome.FAILED
            await trail.record(
                audit_event(actor, _ACTION, resource, outcome=failed, context=context)
            )
            raise


def _with_parents(place: Scope) -> list[Scope]:
    """The place and all above it, the widest first."""
    parts = place.path.split("/")
    above = [Scope.parse("/".join(parts[:end])) for end in range(2, len(parts) + 1, 2)]
    return [Scope.platform(), *(scope for scope in above if scope != Scope.platform())]
