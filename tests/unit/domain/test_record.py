"""The usage record: a document of plain JSON values under the promised names."""

from __future__ import annotations

import json
from decimal import Decimal

from gateway.domain.ids import KeyId, PolicyVersion, RequestId
from gateway.domain.record import CallStatus, UsageRecord

PROMISED = {
    "request_id", "time", "org", "team", "user", "application", "feature", "agent",
    "agent_type", "task", "operation_tag", "category", "environment", "end_user", "metadata",
    "operation", "model_requested", "model_served", "region", "service_tier", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "total_tokens", "other_units", "cost_usd", "cost_nano_usd", "price_id", "exact",
    "latency_ms", "time_to_first_byte_ms", "status", "error", "cache", "level", "decision",
    "reason", "policy_version", "upstream_request_id",
}  # fmt: skip


def record(**changed):
    values = {
        "request_id": RequestId("r-1"),
        "time": "2026-11-21T22:50:00.000Z",
        "key_id": KeyId("AKIAEXAMPLE"),
        "org": "acme",
        "team": "web",
        "user": "ada",
        "application": None,
        "operation": "Converse",
        "model_requested": "us.anthropic.claude-3-haiku-20240307-v1:0",
        "model_served": "anthropic.claude-3-haiku-20240307-v1:0",
        "region": "us-east-1",
        "cost_usd": Decimal("0.0105"),
        "cost_nano_usd": 10_500_000,
        "hold_nano_usd": 20_000_000,
        "price_id": "p",
        "exact": True,
        "rank": 2,
        "status": CallStatus.OK,
        "policy_version": PolicyVersion("v"),
    }
    return UsageRecord(**(values | changed))


def test_a_document_has_every_promised_name_and_is_json():
    document = record().to_document()
    assert set(document) >= PROMISED
    assert json.loads(json.dumps(document)) == document


def test_decimals_are_plain_strings_and_pairs_are_objects():
    document = record(
        cost_usd=Decimal("1E-8"),
        metadata=(("temperature", "0.2"), ("max_tokens", "100")),
        other_units=(("image", Decimal(2)),),
        accounts=("a", "b"),
    ).to_document()
    assert document["cost_usd"] == "0.00000001"
    assert document["metadata"] == {"temperature": "0.2", "max_tokens": "100"}
    assert document["other_units"] == {"image": "2"}
    assert document["accounts"] == ["a", "b"]
    assert document["status"] == "ok"


def test_what_is_not_known_is_null_and_never_zero():
    document = record().to_document()
    assert document["input_tokens"] is None
    assert document["latency_ms"] is None
