"""The audit trail as the admin API shows it."""

from __future__ import annotations

from datetime import datetime

from gateway.admin.models.document import PageQuery, Shown


class AuditQuery(PageQuery):
    """Which entries are asked for: all, page by page."""


class AuditEntryDocument(Shown):
    """One entry of the chain. `actor`, `resource`, `context` null: they were erased."""

    chain: str
    seq: int
    event_id: str
    at: datetime
    action: str
    outcome: str
    actor: str | None
    resource: str | None
    context: dict[str, str] | None
    hash: str


class AuditPage(Shown):
    """Entries, newest first."""

    items: tuple[AuditEntryDocument, ...]
    next_cursor: str | None


class AuditFlaw(Shown):
    """The first entry that is not as it was written."""

    kind: str
    seq: int
    detail: str


class AuditVerification(Shown):
    """Whether the chain is whole: how many entries are in order, and the first that is not."""

    ok: bool
    chain: str
    entries: int
    head: str
    checkpoints: int
    flaw: AuditFlaw | None
