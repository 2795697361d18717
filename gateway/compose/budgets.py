"""What commands see of budgets, and how they change them: straight in the stores of this host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.adapters.redis.balances import LedgerBalances
from gateway.adapters.system import SystemClock
from gateway.admin.models.budgets import BudgetDocument, BudgetStatus
from gateway.admin.rest.budget_documents import budget_document, status_document
from gateway.compose.audit import audit_event, command_actor, make_audit_trail
from gateway.compose.publishing import open_publishing
from gateway.compose.stores import ledger_shards, open_journal_client, open_tables
from gateway.control.audit import AuditOutcome
from gateway.control.budgets import known_budgets, readings_at
from gateway.control.bundle import PolicyBundle, compile_bundle
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedRules
from gateway.settings import Settings

_ACTION = "budget.change"


async def list_budgets(settings: Settings) -> Sequence[BudgetDocument]:
    """All budgets in force. Raises: GatewayError, DocumentError."""
    async with open_publishing(settings) as publishing:
        current = await publishing.current()
    if current is None:
        return ()
    return [budget_document(budget) for budget in known_budgets(compile_bundle(current))]


async def budget_states(settings: Settings, place: Scope) -> Sequence[BudgetStatus]:
    """The budgets that count calls of this place and of those above it, with their balances.

    Raises: GatewayError, DocumentError.
    """
    async with open_publishing(settings) as publishing:
        current = await publishing.current()
    if current is None:
        return ()
    readings = readings_at(compile_bundle(current), place, SystemClock().now())
    async with open_journal_client(settings) as client:
        balances = LedgerBalances(client, ledger_shards(settings))
        return [
            status_document(reading, await balances.read(reading.place, reading.accounts))
            for reading in readings
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
