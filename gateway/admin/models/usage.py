"""Usage records as the admin API shows them: field by field as they are recorded."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, get_type_hints

from pydantic import Field, create_model, model_validator

from gateway.admin.models.document import Instant, Name, PageQuery, Shown
from gateway.domain.record import CallStatus, UsageRecord

_AS_JSON: tuple[tuple[str, Any], ...] = (
    ("metadata", dict[str, str]),
    ("other_units", dict[str, str]),
    ("accounts", tuple[str, ...]),
)
LONGEST = timedelta(days=400)


def _json_type(hint: Any) -> Any:
    """The type a field has in JSON: exact decimals are text there."""
    return str if hint is Decimal else hint


def _record_fields() -> dict[str, Any]:
    hints = get_type_hints(UsageRecord)
    special = dict(_AS_JSON)
    return {
        field.name: (special.get(field.name, _json_type(hints[field.name])), ...)
        for field in fields(UsageRecord)
    }


UsageRecordDocument: type[Shown] = create_model(
    "UsageRecordDocument",
    __base__=Shown,
    __doc__="The usage record of one call. Units: tokens; USD as exact decimal text; milliseconds.",
    **_record_fields(),
)


class RecordQuery(PageQuery):
    """Which records are asked for. `to` is now and `from` a day before `to` if left out."""

    org: Name | None = None
    team: Name | None = None
    user: Name | None = None
    application: Name | None = None
    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None
    model: Annotated[
        str | None, Field(max_length=256, description="The model served or asked for.")
    ] = None
    status: CallStatus | None = None

    @model_validator(mode="after")
    def _in_order(self) -> RecordQuery:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("'from' must not be after 'to'")
        return self

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to before when. Never longer than records are kept."""
        until = self.until or now + timedelta(seconds=1)
        since = self.since or until - timedelta(days=1)
        return max(since, now - LONGEST), until


class RecordPageDocument(Shown):
    """Records, newest first. A page may be short, or empty, and still have a next one."""

    items: tuple[UsageRecordDocument, ...]  # type: ignore[valid-type]  # made of UsageRecord above
    next_cursor: str | None
