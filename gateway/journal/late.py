"""What a charge that came without its hold still has to add to the ledger's accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.journal.account_row import AccountWindow
from gateway.journal.batch import why_too_large
from gateway.journal.change import Change, differences
from gateway.journal.codec import UnreadableDocumentError
from gateway.journal.ports import LateCharge


def late_charges(
    document: dict[str, Any], stored: Mapping[str, Any] | None
) -> tuple[LateCharge, ...]:
    """What the books gain by the record, account by account; nothing where they have it already.

    The ledger once counted what the books hold, or was set from them. What the books lose by a
    smaller charge it keeps until it is set again: it may charge too much for a while, never too
    little.
    """
    try:
        change = Change.of(document).replacing(stored)
    except UnreadableDocumentError:
        return ()  # no table takes it, so no account has it
    if change is None or why_too_large(change) is not None:
        return ()
    charges = []
    for row, amounts in differences([change]).items():
        posted, overrun = (int(amounts.get(name, 0)) for name in ("posted", "overrun"))
        if isinstance(row, AccountWindow) and posted > 0:
            charges.append(
                LateCharge(
                    account=row.key, posted=posted, overrun=max(0, overrun), until_ms=row.until_ms
                )
            )
    return tuple(sorted(charges, key=lambda charge: charge.account))
