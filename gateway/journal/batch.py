"""How documents are grouped into transactions, and how long to wait before trying one again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.journal.codec import Item, UnreadableDocumentError, item_size_bytes, to_item
from gateway.journal.ports import Unwritable

MAX_ACTIONS = 100
"""Actions in one transaction. Source: DynamoDB `TransactWriteItems`."""

MAX_BATCH_BYTES = 3_500_000
"""Units: bytes. A transaction may hold 4 MB; the rest is room for how sizes are counted."""

MAX_ITEM_BYTES = 400_000
"""Units: bytes. An item may hold 400 KiB. Source: DynamoDB service quotas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writable:
    """A document together with the item it becomes. Units: `size_bytes` as DynamoDB counts."""

    document: dict[str, Any]
    item: Item
    size_bytes: int

    @property
    def rank(self) -> int:
        """How good the charge is; the higher one stays."""
        rank: int = self.document["rank"]
        return rank


def highest_ranks(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One document per id: the first of those with the highest rank.

    Invariant: the outcome does not depend on the order of documents of different ranks, nor on
    how often each is repeated: the per-id maximum of ranks is a semilattice.
    """
    best: dict[str, dict[str, Any]] = {}
    for document in documents:
        known = best.get(document["request_id"])
        if known is None or document["rank"] > known["rank"]:
            best[document["request_id"]] = document
    return list(best.values())


def prepare(documents: Sequence[dict[str, Any]]) -> tuple[list[Writable], list[Unwritable]]:
    """The documents as items, and those that can never be one, each with the reason."""
    writable: list[Writable] = []
    unwritable: list[Unwritable] = []
    sound: list[dict[str, Any]] = []
    items: dict[int, tuple[Item, int]] = {}
    for document in documents:
        try:
            item = to_item(document)
        except UnreadableDocumentError as exc:
            unwritable.append(Unwritable(document=document, why=str(exc)))
            continue
        size_bytes = item_size_bytes(item)
        if size_bytes > MAX_ITEM_BYTES:
            why = f"an item of {size_bytes} bytes is larger than {MAX_ITEM_BYTES}"
            unwritable.append(Unwritable(document=document, why=why))
            continue
        sound.append(document)
        items[id(document)] = (item, size_bytes)
    for document in highest_ranks(sound):
        item, size_bytes = items[id(document)]
        writable.append(Writable(document=document, item=item, size_bytes=size_bytes))
    return writable, unwritable


def split(writable: Sequence[Writable]) -> list[list[Writable]]:
    """The items in their order, in as few transactions as greedy filling needs.

    Invariant: every batch has 1 to MAX_ACTIONS items and at most MAX_BATCH_BYTES.
    """
    batches: list[list[Writable]] = []
    room_bytes = 0
    for entry in writable:
        fits = batches and len(batches[-1]) < MAX_ACTIONS and entry.size_bytes <= room_bytes
        if not fits:
            batches.append([])
            room_bytes = MAX_BATCH_BYTES
        batches[-1].append(entry)
        room_bytes -= entry.size_bytes
    return batches


def full_jitter_s(attempt: int, *, base_s: float, cap_s: float, chance: float) -> float:
    """How long to wait before the next attempt (the first is 0), given a chance in [0, 1).

    Source: AWS Architecture Blog, "Exponential backoff and jitter": full jitter.
    """
    return chance * min(cap_s, base_s * 2.0 ** min(attempt, 32))
