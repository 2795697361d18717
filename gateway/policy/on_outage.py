"""What may pass while the ledger is away, by all files that bind one caller.

A control opens only if at least one file says so, and none says anything stricter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.money import NanoUsd
from gateway.policy.document import OutageRule, OutageSection
from gateway.policy.parse import PolicySet

_STRICTEST_FIRST = (OutageRule.REFUSE, OutageRule.LOCAL_ALLOWANCE, OutageRule.ADMIT_UNCOUNTED)


_NOTHING = NanoUsd(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOutage:
    """The failure policy of one org. Units: nano-USD for each data-plane process and outage.

    `allowance` counts where budgets have a local allowance, and else nothing.
    """

    budgets: OutageRule = OutageRule.REFUSE
    limits: OutageRule = OutageRule.LOCAL_ALLOWANCE
    allowance: NanoUsd = _NOTHING


def on_outage(policies: PolicySet, org: str) -> OnOutage:
    """What the file of everyone (`*`) and the file of the org say together."""
    candidates = (policies.everyone, policies.orgs.get(org))
    stated = [document.on_outage for document in candidates if document is not None]
    default = OnOutage()
    return OnOutage(
        budgets=_strictest((section.budgets for section in stated), default.budgets),
        limits=_strictest((section.limits for section in stated), default.limits),
        allowance=_smallest(stated, default.allowance),
    )


def _strictest(rules: Iterable[OutageRule | None], default: OutageRule) -> OutageRule:
    stated = [rule for rule in rules if rule is not None]
    return min(stated, key=_STRICTEST_FIRST.index, default=default)


def _smallest(stated: Sequence[OutageSection], default: NanoUsd) -> NanoUsd:
    amounts = [section.allowance_usd for section in stated if section.allowance_usd is not None]
    return min(amounts, default=default)
