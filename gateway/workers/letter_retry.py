"""Brings dead letters to their table after all, once what stood in their way is gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.journal.codec import UnreadableDocumentError, decode_document
from gateway.journal.dead_letter import DeadLetter, DeadLetterBox
from gateway.journal.ports import UsageTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of one letter. `why` None: its record is in the table, the letter is gone."""

    letter_id: str
    why: str | None


async def retry_letters(
    box: DeadLetterBox, table: UsageTable, only: Collection[str] = ()
) -> list[Retried]:
    """Tries all letters, or those with these ids, and says what became of each.

    Each is written before it is removed, so a crash in between leads to a repeat, which the table
    does not count. Raises: GatewayError if a store does not answer; the rest stays as it is.
    """
    outcomes = []
    async for letter in box.letters():
        if only and letter.letter_id not in only:
            continue
        why = await _obstacle(letter, table)
        if why is None:
            await box.remove(letter)
        outcomes.append(Retried(letter_id=letter.letter_id, why=why))
    return outcomes


async def _obstacle(letter: DeadLetter, table: UsageTable) -> str | None:
    if letter.document is None:
        return "a part of it is missing"
    try:
        document = decode_document(letter.document)
    except UnreadableDocumentError as exc:
        return str(exc)
    for unwritable in await table.write([document]):
        return unwritable.why
    return None
