"""Emergency stops as the admin API takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from gateway.admin.models.document import Given, Instant, ScopePath, Shown, Whole, Why
from gateway.domain.scope import Scope

_LONGEST_S = 366 * 24 * 3600


class StopOrder(Given):
    """What is to be stopped, why, and until when: a time, or so many seconds; else by command."""

    scope: ScopePath = Scope.platform()
    why: Why
    until: Instant | None = None
    for_s: Annotated[Whole, Field(ge=1, le=_LONGEST_S)] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> StopOrder:
        if self.until is not None and self.for_s is not None:
            raise ValueError("expected one of until and for_s, not both")
        return self


class RestoreOrder(Given):
    """What is to go on, and why."""

    scope: ScopePath = Scope.platform()
    why: Why


class StopDocument(Shown):
    """A stop. `by` and `why` are null where it is of a scope beyond your reach that stops yours."""

    scope: str
    by: str | None
    why: str | None
    since: datetime
    until: datetime | None


class StopAnswer(Shown):
    """A stop that every shard of the ledger has. `audited` False: the audit trail could not yet."""

    stop: StopDocument
    audited: bool


class RestoreAnswer(Shown):
    """A scope that goes on."""

    scope: str
    restored_at: datetime


class Emergency(Shown):
    """All stops that concern what you reach. `silent`: shards of the ledger without an answer."""

    stops: tuple[StopDocument, ...]
    silent: tuple[str, ...]
