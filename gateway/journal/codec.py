"""What a usage record looks like as bytes in the journal, and as an item in a table.

The journal holds the record's plain JSON. An item holds the same fields as DynamoDB attribute
values, without those that are null, and a few derived attributes for indexes and expiry whose
names begin with an underscore: they are the table's own and no part of the record.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from gateway.domain.record import UsageRecord, decimal_text
from gateway.domain.scope import UNATTRIBUTED

Item = dict[str, dict[str, Any]]
"""An item as DynamoDB's wire has it: attribute name to a tagged value."""

KEEP_RECORDS_FOR = timedelta(days=400)
"""How long a record stays in the table: a year of comparison, and a month to make it."""

DAY_SHARDS = 16
"""Over how many keys a day's records are spread in the index by day, against a hot partition."""

OWNER = "_owner"
AT = "_at"
DAY = "_day"
ORG_DAY = "_org_day"
EXPIRES = "_expires"

VERSION = "_version"

POSTED_AT = "posted_at"
"""What a stored record says beside its own fields: when the ledger counted the charge.

`settled_at` is the gateway's clock before it asked; only the ledger's own orders what it did.
"""

_MAX_ID_BYTES = 256
_MAX_RANK = 999
_MAX_INSTANT_LENGTH = 64
_MAX_NUMBER_DIGITS = 38
_RECORD_FIELDS = tuple(field.name for field in fields(UsageRecord))
_PAIRS = ("metadata", "other_units")


MAX_NANO_USD = 2**63 - 1


class UnreadableDocumentError(ValueError):
    """A journal entry is not a usage record; the message says what was expected."""


def encode_record(record: UsageRecord) -> bytes:
    """The record as the journal keeps it: its document as JSON.

    Built for speed, as each call needs it three times; the JSON of enums and tuples is orjson's.
    """
    document = {name: getattr(record, name) for name in _RECORD_FIELDS}
    for name in _PAIRS:
        document[name] = dict(document[name])
    return orjson.dumps(document, default=_decimal_text)


def decode_document(data: bytes) -> dict[str, Any]:
    """The document of a journal entry. Raises: UnreadableDocumentError."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UnreadableDocumentError("not JSON") from exc
    if not isinstance(document, dict):
        raise UnreadableDocumentError("not a JSON object")
    check_document(document)
    return document


def check_document(document: Mapping[str, Any]) -> None:
    """Checks what the table relies on: id, version, time, org. Raises: UnreadableDocumentError."""
    request_id = document.get("request_id")
    if not isinstance(request_id, str) or not 0 < len(_text(request_id).encode()) <= _MAX_ID_BYTES:
        raise UnreadableDocumentError(f"request_id must be a text of 1 to {_MAX_ID_BYTES} bytes")
    rank = document.get("rank")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= _MAX_RANK:
        raise UnreadableDocumentError(f"rank must be a whole number from 1 to {_MAX_RANK}")
    cost = document.get("cost_nano_usd")
    if not isinstance(cost, int) or isinstance(cost, bool) or not 0 <= cost <= MAX_NANO_USD:
        raise UnreadableDocumentError("cost_nano_usd must be a whole number below 2^63")
    settled_at = document.get("settled_at")
    if settled_at is not None and (
        not isinstance(settled_at, str) or len(settled_at) > _MAX_INSTANT_LENGTH
    ):
        raise UnreadableDocumentError("settled_at must be an instant in ISO 8601, or null")
    for name in ("org", "team"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise UnreadableDocumentError(f"{name} must be a text that is not empty")
    if any(name.startswith("_") for name in document):
        raise UnreadableDocumentError("names that begin with an underscore are the table's own")
    instant_of(document)


def instant_of(document: Mapping[str, Any]) -> datetime:
    """When the call was admitted, in UTC. Raises: UnreadableDocumentError."""
    try:
        instant = datetime.fromisoformat(document["time"])
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableDocumentError("time must be an instant in ISO 8601") from exc
    if instant.tzinfo is None:
        raise UnreadableDocumentError("time must state its zone")
    return instant.astimezone(UTC)


def version_of(document: Mapping[str, Any]) -> str:
    """What says which of two records of a call stays: the one whose version is the larger text.

    A better charge (rank) before a larger one before one that was settled later. A draft, whose
    call nobody saw settled, is the earliest.
    """
    settled_at = document.get("settled_at") or ""
    return f"{document['rank']:03d}|{document['cost_nano_usd']:019d}|{settled_at}"


def posted_at(at_ms: int) -> str:
    """The instant as a stored record has it. Units: milliseconds since the epoch."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_item(document: Mapping[str, Any]) -> Item:
    """The document as an item. Raises: UnreadableDocumentError if it cannot be one."""
    check_document(document)
    instant = instant_of(document)
    derived = {
        OWNER: owner_key(document),
        AT: at_key(instant),
        DAY: day_key(instant, document["request_id"]),
        ORG_DAY: org_day_key(document["org"], instant, document["request_id"]),
        VERSION: version_of(document),
        EXPIRES: int((instant + KEEP_RECORDS_FOR).timestamp()),
    }
    values = {name: value for name, value in document.items() if value is not None}
    return {name: _attribute(value) for name, value in (values | derived).items()}


def from_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The document that `to_item` made the item of: what a record has and the item omits is null.

    Invariant: from_item(to_item(d)) == d for every d that is a record's `to_document()`.
    """
    document: dict[str, Any] = dict.fromkeys(_RECORD_FIELDS)
    for name, attribute in item.items():
        if not name.startswith("_"):
            document[name] = _value(attribute)
    return document


def owner_key(document: Mapping[str, Any]) -> str:
    """The narrowest scope that the credential bound: a user, else an application, else a team."""
    org = f"org/{document['org']}"
    if document.get("user"):
        return f"{org}/team/{document.get('team') or UNATTRIBUTED}/user/{document['user']}"
    if document.get("application"):
        return f"{org}/application/{document['application']}"
    return f"{org}/team/{document.get('team') or UNATTRIBUTED}"


def at_key(instant: datetime) -> str:
    """An instant as the indexes have it: UTC, of fixed width, so that text sorts as time."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def day_key(instant: datetime, request_id: str) -> str:
    """The key of the index by day, e.g. `2026-11-21#07`; the shard follows from the id."""
    shard = zlib.crc32(request_id.encode()) % DAY_SHARDS
    return f"{instant:%Y-%m-%d}#{shard:02d}"


def org_day_key(org: str, instant: datetime, request_id: str) -> str:
    """The key of the index by org and day, e.g. `acme#2026-11-21#07`, in the same shards."""
    return f"{org}#{day_key(instant, request_id)}"


def item_size_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """What the item counts against DynamoDB's limits, rounded up.

    Source: DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _attribute_size(value) for name, value in item.items())


def _decimal_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return decimal_text(value)
    raise TypeError(f"a {type(value).__name__} is no part of a record")


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": _text(value)}
        case int() | float():
            return {"N": _number(value)}
        case Mapping():
            return {"M": {_text(str(key)): _attribute(item) for key, item in value.items()}}
        case Sequence():
            return {"L": [_attribute(item) for item in value]}
        case _:
            raise UnreadableDocumentError(f"a {type(value).__name__} is no JSON value")


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UnreadableDocumentError("a text is not valid Unicode") from exc
    return text


def _number(value: float) -> str:
    number = Decimal(repr(value))
    if not number.is_finite():
        raise UnreadableDocumentError("a number must be finite")
    if len("".join(map(str, number.as_tuple().digits)).strip("0")) > _MAX_NUMBER_DIGITS:
        raise UnreadableDocumentError(f"a number has at most {_MAX_NUMBER_DIGITS} digits")
    return str(number)


def _value(attribute: Mapping[str, Any]) -> Any:
    ((tag, value),) = attribute.items()
    match tag:
        case "S" | "BOOL":
            return value
        case "NULL":
            return None
        case "N":
            number = Decimal(value)
            return int(number) if number == number.to_integral_value() else float(number)
        case "M":
            return {key: _value(item) for key, item in value.items()}
        case "L":
            return [_value(item) for item in value]
        case _:
            raise UnreadableDocumentError(f"an attribute of type {tag} is no part of a record")


def _attribute_size(attribute: Mapping[str, Any]) -> int:
    ((tag, value),) = attribute.items()
    match tag:
        case "S":
            return len(value.encode())
        case "B":
            return len(value)
        case "N":
            return len(value) + 1
        case "M":
            return 3 + sum(
                1 + len(key.encode()) + _attribute_size(item) for key, item in value.items()
            )
        case "L":
            return 3 + sum(1 + _attribute_size(item) for item in value)
        case _:
            return 1
