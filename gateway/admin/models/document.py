"""What all models of the admin API have in common, and the values they are made of."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from gateway.domain.scope import Scope, ScopeKind, is_scope_name

_SCOPE_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9_+-])?"
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
_AN_INSTANT = "expected an instant with its zone, such as 2026-11-21T10:00:00Z"
_NAME_PATTERN = f"^{_SCOPE_NAME}$"
_KINDS = "|".join(
    kind.value for kind in ScopeKind if kind not in (ScopeKind.PLATFORM, ScopeKind.ORG)
)
_SCOPE_PATTERN = rf"^(platform|org/{_SCOPE_NAME}(/({_KINDS})/{_SCOPE_NAME}){{0,2}})$"


def _checked_name(text: str) -> str:
    if not is_scope_name(text):
        raise ValueError("expected 1 to 64 letters, digits or '._@+-'")
    return text


def _parsed_scope(value: Any) -> Scope:
    if isinstance(value, Scope):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a scope such as org/acme/team/web")  # noqa: TRY004 - pydantic's
    return Scope.parse(value)


Name = Annotated[
    str,
    AfterValidator(_checked_name),
    WithJsonSchema({"type": "string", "pattern": _NAME_PATTERN, "maxLength": 64}),
]
"""The name of an org, team, user or application."""

ScopePath = Annotated[
    Scope,
    BeforeValidator(_parsed_scope),
    WithJsonSchema({"type": "string", "pattern": _SCOPE_PATTERN, "examples": ["org/acme"]}),
]
"""A scope, written as everywhere: `platform`, `org/acme/team/web`."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number, however JSON writes it: 60.0 is one too."""


def _instant(value: Any) -> datetime:
    """A number is no instant, not even as text: nobody means seconds since 1970 by it."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _DATE.match(value) is None:
        raise ValueError(_AN_INSTANT)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(_AN_INSTANT) from None


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
"""An instant in ISO 8601 with its zone."""

Why = Annotated[str, Field(min_length=1, max_length=500)]
"""A reason that people will read in the audit trail."""


class Given(BaseModel):
    """A body that somebody sends: nothing unknown in it, nothing converted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class Shown(BaseModel):
    """A document that the API answers with."""

    model_config = ConfigDict(
        frozen=True, json_schema_serialization_defaults_required=True, use_enum_values=True
    )


class Query(BaseModel):
    """The query of a route."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True
    )


class PageQuery(Query):
    """The query of a route that answers by pages."""

    limit: Annotated[int, Field(ge=1, le=200, description="Items a page.")] = 50
    cursor: Annotated[
        str | None, Field(max_length=1000, description="The next_cursor of the last page.")
    ] = None


def iso(at: datetime | None) -> str | None:
    """An instant as documents say it."""
    return at.isoformat() if at is not None else None
