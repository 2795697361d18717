"""When an emergency amount of a policy stops its scope by itself: a rule of what the ledger said.

The amount is a hard budget, so it is never passed. What is added here is the stop: calls that run
are cut, and nobody goes on with smaller calls, until somebody has looked (or the time has passed).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.admission.accounts import balance_key, budget_account
from gateway.admission.control_ports import ControlReading
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.period import Window, earlier_windows, windows_at
from gateway.domain.reservation import Denied, Granted, Receipt, Resource, Utilisation
from gateway.domain.stop import Stop
from gateway.policy.effective import EffectivePolicy
from gateway.policy.limits import BudgetLimit, EmergencyKind

BY_POLICY = "policy"
"""Who stopped a scope when a policy did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """An emergency amount that may be exhausted: what was posted has to be read to know.

    `wanted` is what the call that was denied claimed; 0 if it was granted. Units: nano-USD.
    """

    limit: BudgetLimit
    window: Window
    accounts: tuple[str, ...]
    wanted: int
    policy: EffectivePolicy

    @property
    def key(self) -> tuple[str, str, str]:
        """What is tripped once: the amount of a scope in a window."""
        return (self.limit.scope.path, self.limit.name, self.window.id)


def suspicions(policy: EffectivePolicy, receipt: Receipt, at: datetime) -> tuple[Suspicion, ...]:
    """The emergency amounts that what the ledger said speaks against."""
    limits = [limit for limit in policy.budgets if limit.emergency is not None]
    if not limits:
        return ()
    match receipt:
        case Denied():
            found = [(receipt.blocking, receipt.wanted)]
        case Granted():
            found = [(used, 0) for used in receipt.utilisation if used.used >= used.ceiling]
        case _:
            return ()
    return tuple(
        _suspicion(limit, wanted, policy, at)
        for utilisation, wanted in found
        for limit in limits
        if _is_of(utilisation, limit) and wanted <= limit.ceiling
    )


def tripped(suspicion: Suspicion, posted: int, known: ControlReading, now: datetime) -> Stop | None:
    """The stop that the amount calls for; None: it is not exhausted, or this window has had it.

    Money that is only held comes back, so it exhausts nothing: the call has to be too much for
    what was really spent. A stop that ended or was taken back in this window is not given again.
    Units: `posted` nano-USD.
    """
    limit = suspicion.limit
    if posted < limit.ceiling and posted + suspicion.wanted <= limit.ceiling:
        return None
    begin_s = suspicion.window.start_ms / 1000
    stood = [stop for stop in known.stops if stop.scope == limit.scope]
    if any(stop.stands_at(now) or stop.since.timestamp() >= begin_s for stop in stood):
        return None
    restored = known.restored.get(limit.scope)
    if restored is not None and restored.timestamp() >= begin_s:
        return None
    return Stop(
        scope=limit.scope,
        by=BY_POLICY,
        why=f"{limit.name}: {format_usd(NanoUsd(posted))} of {format_usd(limit.ceiling)} USD are "
        f"spent ({limit.source})",
        since=now,
        until=_until(suspicion, now),
    )


def _suspicion(limit: BudgetLimit, wanted: int, policy: EffectivePolicy, at: datetime) -> Suspicion:
    current, _ = windows_at(limit.period, limit.zone, at)
    earlier = earlier_windows(limit.period, limit.zone, current, limit.rolling)
    account = budget_account(limit)
    accounts = tuple(balance_key(account, window) for window in (*earlier, current))
    return Suspicion(limit=limit, window=current, accounts=accounts, wanted=wanted, policy=policy)


def _is_of(utilisation: Utilisation, limit: BudgetLimit) -> bool:
    account = utilisation.account
    return account.resource is Resource.MONEY and account == budget_account(limit)


def _until(suspicion: Suspicion, now: datetime) -> datetime | None:
    """A shutdown lasts until somebody restores it; the others for the time the policy says."""
    limit = suspicion.limit
    if limit.emergency is EmergencyKind.SHUTDOWN:
        return None
    settings = [e for e in suspicion.policy.emergency if e.scope == limit.scope]
    return min((now + emergency.restore_after for emergency in settings), default=None)
