"""What became of the question whether a call may run."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import Granted, Rung, Utilisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """The call may run, as the granted rung says; its hold stands in the ledger."""

    receipt: Granted
    rung: Rung
    quote: Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The call may not run. `detail` names the limit, its value, the reset and what to do.

    `at_ms`: the instant by the ledger's clock, where the ledger decided.
    """

    reason: Reason
    detail: str
    retry_after_s: float | None = None
    blocking: Utilisation | None = None
    at_ms: int | None = None


Decision = Admit | Refuse
