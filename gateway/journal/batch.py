"""How records are grouped into transactions, and how long to wait before trying one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.journal.change import Change, Row, latest_versions
from gateway.journal.codec import UnreadableDocumentError
from gateway.journal.ports import Unwritable

MAX_ACTIONS = 100
"""Actions in one transaction. Source: DynamoDB `TransactWriteItems`."""

MAX_BATCH_BYTES = 3_500_000
"""Units: bytes. A transaction may hold 4 MB; the rest is room for how sizes are counted."""

MAX_ITEM_BYTES = 400_000
"""Units: bytes. An item may hold 400 KiB. Source: DynamoDB service quotas."""

ROW_BYTES = 3_000
"""Units: bytes. No update of a sum is larger: two keys, some twenty names and numbers."""


def prepare(documents: Sequence[dict[str, Any]]) -> tuple[list[Change], list[Unwritable]]:
    """The changes that the documents ask for, and those that can never be made, with the reason."""
    sound: list[Change] = []
    unwritable: list[Unwritable] = []
    for document in documents:
        try:
            change = Change.of(document)
        except UnreadableDocumentError as exc:
            unwritable.append(Unwritable(document=document, why=str(exc)))
            continue
        why = why_too_large(change)
        if why is None:
            sound.append(change)
        else:
            unwritable.append(Unwritable(document=document, why=why))
    return latest_versions(sound), unwritable


def why_too_large(change: Change) -> str | None:
    """Why the change fits into no transaction; None if it does."""
    if change.size_bytes > MAX_ITEM_BYTES:
        return f"an item of {change.size_bytes} bytes is larger than {MAX_ITEM_BYTES}"
    if 1 + len(change.rows) > MAX_ACTIONS:
        return f"it changes {len(change.rows)} rows, a transaction holds {MAX_ACTIONS} actions"
    return None


def split(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in few transactions: those that count in the same rows stand together.

    Invariant: every batch has at most MAX_ACTIONS actions (a record, or a row, is one) and
    MAX_BATCH_BYTES, unless one change alone has more.
    """
    batches: list[list[Change]] = []
    rows: set[Row] = set()
    size_bytes = 0
    for change in sorted(changes, key=_neighbourhood):
        joined = rows | change.rows
        fits = (
            batches
            and len(batches[-1]) + 1 + len(joined) <= MAX_ACTIONS
            and size_bytes + change.size_bytes + ROW_BYTES * len(joined) <= MAX_BATCH_BYTES
        )
        if fits:
            rows = joined
        else:
            batches.append([])
            rows, size_bytes = set(change.rows), 0
        batches[-1].append(change)
        size_bytes += change.size_bytes
    return batches


def full_jitter_s(attempt: int, *, base_s: float, cap_s: float, chance: float) -> float:
    """How long to wait before the next attempt (the first is 0), given a chance in [0, 1).

    Source: AWS Architecture Blog, "Exponential backoff and jitter": full jitter.
    """
    return chance * min(cap_s, base_s * 2.0 ** min(attempt, 32))


def _neighbourhood(change: Change) -> tuple[str, ...]:
    names = ("org", "team", "user", "application", "model_served", "operation")
    hour = str(change.document["time"])[:13]
    return (*(str(change.document.get(name) or "") for name in names), hour)
