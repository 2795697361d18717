from __future__ import annotations

import orjson

from gateway.admission.refusal import BY_POLICY, refused_record, released_record
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from gateway.journal.codec import encode_record
from tests.fakes.calls import HOLD, admitted, call_context
from tests.fakes.clock import NOON


def test_a_refused_call_cost_nothing_and_says_why_and_what_it_would_have_held():
    record = refused_record(call_context(), Reason.RATE_LIMITED, "Limit 'x' of org/acme", at=NOON)
    assert (record.cost_nano_usd, record.cost_usd, record.accounts) == (0, 0, ())
    assert (record.decision, record.reason) == ("refuse", "rate_limited")
    assert record.status is CallStatus.REFUSED
    assert record.hold_nano_usd == HOLD
    assert record.expected_tokens == 60
    assert record.error == "Limit 'x' of org/acme"


def test_its_record_has_the_form_of_all_records():
    record = refused_record(call_context(), Reason.BUDGET_EXHAUSTED, "gone", at=NOON)
    document = orjson.loads(encode_record(record))
    assert document["org"] == "acme"
    assert document["output_tokens_bound"] == 4096


def test_failures_are_no_decisions():
    assert Reason.LEDGER_UNAVAILABLE not in BY_POLICY
    assert Reason.INTERNAL_ERROR not in BY_POLICY
    assert Reason.SIGNATURE_INVALID not in BY_POLICY


def test_a_released_call_cost_nothing_and_says_when_it_ended_and_what_it_was_counted_in():
    record = released_record(admitted(), http_status=429, settled_at=NOON)
    assert (record.cost_nano_usd, record.exact, record.hold_nano_usd) == (0, True, HOLD)
    assert (record.decision, record.status) == ("release", CallStatus.UPSTREAM_ERROR)
    assert record.settled_at == "2026-11-21T12:00:00.000Z"
    assert record.accounts == admitted().accounts
    unsent = released_record(admitted(), http_status=None, settled_at=NOON)
    assert unsent.status is CallStatus.GATEWAY_ERROR
