"""The policies and calls of a simulated day: small budgets, so that every limit is met."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from gateway.domain.caller import Caller
from gateway.domain.ids import RequestId
from gateway.domain.quote import ContextBand
from gateway.policy.parse import parse_policies
from gateway.proxy.admit import Rules
from gateway.proxy.stage_values import IdentifiedCall
from tests.fakes.calls import ADA, identified_call, price_book, rates

ORG = "acme"
CALLERS = (
    ADA,
    replace(ADA, user="bob"),
    replace(ADA, team="ops", user="eve"),
)
_POLICY = """
version: 1
org: acme
timezone: {zone}
budgets:
  - {{name: month, scope: org, period: month, limit_usd: {month}, mode: hard}}
  - {{name: team day, scope: team, period: day, limit_usd: {day}, mode: hard}}
  - {{name: user hour, scope: user, period: hour, limit_usd: {hour}, mode: hard}}
  - {{name: three days, scope: org, period: day, rolling: 2, limit_usd: {rolling}, mode: hard}}
  - {{name: soft week, scope: org, period: week, limit_usd: {week}, mode: soft}}
limits:
  - {{scope: user, requests_per_minute: {requests}, tokens_per_minute: {tokens}}}
  - {{scope: org, concurrency: {places}}}
"""
_ALLOWANCE = """
on_outage: {{budgets: local_allowance, allowance_usd: 0.05}}
"""
# One zone has a clock change that ends a civil hour twice, one that is no whole number of hours.
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of the policy."""

    version: int
    rules: Rules


def first_zone(dice: random.Random) -> str:
    """Where the windows of this history begin."""
    return dice.choice(_ZONES)


def new_edition(
    dice: random.Random, version: int, zone: str, *, has_allowance: bool = False
) -> Edition:
    """The next edition: every limit is another one, higher or lower.

    `has_allowance`: a worker whose ledger does not answer lets some calls pass.
    """
    text = (_POLICY + (_ALLOWANCE if has_allowance else "")).format(
        zone=zone,
        month=dice.choice(("0.5", "2", "9")),
        day=dice.choice(("0.1", "0.3", "1")),
        hour=dice.choice(("0.02", "0.06", "0.2")),
        rolling=dice.choice(("0.03", "0.1", "1")),
        week=dice.choice(("0.01", "0.1")),
        requests=dice.choice((5, 20, 60)),
        tokens=dice.choice((8_000, 50_000)),
        places=dice.choice((2, 4, 8)),
    )
    prices = price_book()
    entries = {
        name: tuple(replace(entry, row=_odd(entry.row)) for entry in found)
        for name, found in prices.entries.items()
    }
    policies = parse_policies({"acme.yaml": text})
    return Edition(
        version,
        Rules(
            policies=policies, prices=replace(prices, entries=entries), home_accounts=frozenset()
        ),
    )


def _odd(row):
    """Prices that do not come out even in nano-USD, so that rounding is seen."""
    return replace(row, bands=(ContextBand(above_input_tokens=0, rates=rates("0.2513", "1.2507")),))


class Requests:
    """The calls that callers make."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._made = 0
        self._pattern = identified_call()

    def next_call(self) -> IdentifiedCall:
        """A call of somebody, of some size."""
        self._made += 1
        return self._call_of(
            RequestId(f"r{self._made}"),
            self._dice.choice(CALLERS),
            self._dice.choice((1, 100, 1_000, 4_000)),
        )

    def _call_of(self, request_id: RequestId, caller: Caller, most: int) -> IdentifiedCall:
        authenticated = self._pattern.authenticated
        call = replace(authenticated.call, request_id=request_id)
        return replace(
            self._pattern,
            authenticated=replace(authenticated, call=call, caller=caller),
            facts=replace(
                self._pattern.facts,
                max_output_tokens=most,
                text_bytes=self._dice.choice((2, 300, 3_000)),
            ),
        )
