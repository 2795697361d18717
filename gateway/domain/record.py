"""The usage record: one row for each call that reached Bedrock, or may have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum
from typing import Any

from gateway.domain.ids import KeyId, PolicyVersion, RequestId

ADMITTED_LOCALLY = "admit_locally"
"""The `decision` of a call that its worker let pass by itself while the ledger was away.

No hold was made for it, so its charge is counted in its `accounts` when it comes to the books.
"""


REFUSED = "refuse"
"""The `decision` of a call that did not run. Such records cost nothing and are in no account."""


RELEASED = "release"
"""The `decision` of a call that was admitted, and certainly not billed: its hold was released.

It is noted beside the refusals, since what it took of a request rate stays taken.
"""


class CallStatus(Enum):
    """How the call ended, as the caller saw it."""

    OK = "ok"
    UPSTREAM_ERROR = "upstream_error"
    STREAM_ERROR = "stream_error"
    CLIENT_GONE = "client_gone"
    GATEWAY_ERROR = "gateway_error"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """Who called what, what it used, what it cost. The names are a promise to users.

    Units: tokens; `cost_usd` exact decimal; `cost_nano_usd` the ledger's integer; `_ms`.
    `time` is the instant of admission (ISO 8601, UTC). `exact` False: the charge is an estimate.
    `rank` 1 conservative, 2 measured, 3 reconciled. `accounts` are the ledger keys it touched.
    `hold_nano_usd`, `expected_…` and `output_tokens_bound` are the quote it was decided by.
    Source: contract of the admin API, `GET /v1/usage/records/{request_id}`.
    """

    request_id: RequestId
    time: str
    settled_at: str | None = None
    key_id: KeyId
    org: str
    team: str
    user: str | None
    application: str | None
    feature: str | None = None
    agent: str | None = None
    agent_type: str | None = None
    task: str | None = None
    operation_tag: str | None = None
    category: str | None = None
    environment: str | None = None
    end_user: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    operation: str
    model_requested: str
    model_served: str
    region: str
    service_tier: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    total_tokens: int | None = None
    other_units: tuple[tuple[str, Decimal], ...] = ()
    cost_usd: Decimal
    cost_nano_usd: int
    hold_nano_usd: int
    expected_tokens: int | None = None
    expected_nano_usd: int | None = None
    output_tokens_bound: int | None = None
    price_id: str
    exact: bool
    estimate_reason: str | None = None
    overrun_nano_usd: int = 0
    rank: int
    latency_ms: int | None = None
    time_to_first_byte_ms: int | None = None
    status: CallStatus
    http_status: int | None = None
    error: str | None = None
    cache: str = "bypass"
    level: int = 0
    decision: str = "admit"
    reason: str | None = None
    policy_version: PolicyVersion
    upstream_request_id: str | None = None
    accounts: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """The record as plain JSON values: decimals as shortest strings, pairs as objects."""
        document = {name: _plain(getattr(self, name)) for name in _NAMES}
        for name in _PAIRS:
            document[name] = {key: _plain(value) for key, value in getattr(self, name)}
        return document


_PAIRS = ("metadata", "other_units")
_NAMES = tuple(field.name for field in fields(UsageRecord))


def decimal_text(value: Decimal) -> str:
    """The number in plain digits, every one of them, without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return value
