"""Usage records in a few words."""

from __future__ import annotations

from decimal import Decimal

from gateway.domain.ids import KeyId, PolicyVersion, RequestId
from gateway.domain.record import CallStatus, UsageRecord
from gateway.journal.codec import decode_document, encode_record


def usage_record(request_id: str = "req-1", **changes) -> UsageRecord:
    """A measured Converse call of ada at acme."""
    values = {
        "request_id": RequestId(request_id),
        "time": "2026-11-21T10:00:00.250000+00:00",
        "settled_at": "2026-11-21T10:00:01.500000+00:00",
        "key_id": KeyId("AKIAEXAMPLEEXAMPLE22"),
        "org": "acme",
        "team": "web",
        "user": "ada",
        "application": None,
        "metadata": (("temperature", "0.5"),),
        "operation": "Converse",
        "model_requested": "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "model_served": "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "region": "us-east-1",
        "input_tokens": 1000,
        "output_tokens": 500,
        "cache_read_tokens": 0,
        "total_tokens": 1500,
        "other_units": (("image", Decimal("2.5")),),
        "cost_usd": Decimal("0.0105"),
        "cost_nano_usd": 10_500_000,
        "hold_nano_usd": 61_440_000,
        "price_id": "sonnet@2024-10-22",
        "exact": True,
        "rank": 2,
        "latency_ms": 812,
        "status": CallStatus.OK,
        "http_status": 200,
        "policy_version": PolicyVersion("1"),
        "accounts": ("{L00}:b:org/acme:month:2026-11",),
    }
    return UsageRecord(**{**values, **changes})


def document_of(request_id: str = "req-1", **changes) -> dict:
    """The same as the journal holds it."""
    return decode_document(encode_record(usage_record(request_id, **changes)))
