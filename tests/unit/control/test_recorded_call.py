from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.admission.refusal import refused_record, released_record
from gateway.admission.settlement import Ending, conclude
from gateway.control.recorded_call import UnreplayableRecordError, recorded_call
from gateway.domain.attribution import Attribution, call_scopes
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from gateway.domain.tokens import Exact, TokenCounts, Usage
from gateway.journal.codec import decode_document, encode_record
from tests.fakes.calls import ADA, HAIKU, HOLD, admitted, call_context, catalogue
from tests.fakes.clock import NOON

NOON_MS = round(NOON.timestamp() * 1000)


def document(record):
    return decode_document(encode_record(record))


def answered(**changes):
    ending = Ending(
        status=CallStatus.OK,
        measurement=Exact(usage=Usage(tokens=TokenCounts(input=100, output=40))),
    )
    charge = conclude(admitted(), ending, settled_at=NOON + timedelta(seconds=2))
    return {**document(charge.record), **changes}, charge


def test_an_answered_call_is_read_with_all_that_it_was_decided_by():
    said, charge = answered(feature="summary")
    call = recorded_call(said, catalogue())
    assert (call.at_ms, call.ended_ms) == (NOON_MS, NOON_MS + 2000)
    assert (call.hold_nano_usd, call.charge_nano_usd) == (HOLD, charge.nano_usd)
    assert (call.expected_tokens, call.tokens) == (60, charge.tokens)
    assert call.refused_for is None
    assert call.is_decided
    assert call.at == NOON
    assert call_scopes(call.caller, call.attribution, call.model.base_id) == call_scopes(
        ADA, Attribution(feature="summary"), HAIKU
    )


@pytest.mark.parametrize(
    ("reason", "is_decided"),
    [
        (Reason.BUDGET_EXHAUSTED, True),
        (Reason.MODEL_NOT_ALLOWED, True),
        (Reason.EMERGENCY_STOP, False),
    ],
)
def test_a_refused_call_is_read_with_its_reason(reason, is_decided):
    record = refused_record(call_context(), reason, "why", at=NOON)
    call = recorded_call(document(record), catalogue())
    assert (call.refused_for, call.is_decided) == (reason, is_decided)
    assert (call.hold_nano_usd, call.charge_nano_usd) == (HOLD, 0)


def test_a_call_that_its_worker_let_pass_in_an_outage_was_not_decided_by_its_policy():
    said, _ = answered(decision="admit_locally")
    assert not recorded_call(said, catalogue()).is_decided


def test_a_call_without_a_measured_end_counts_the_tokens_that_were_expected():
    charge = conclude(
        admitted(), Ending(status=CallStatus.CLIENT_GONE, measurement=None), settled_at=NOON
    )
    assert recorded_call(document(charge.record), catalogue()).tokens == charge.tokens


@pytest.mark.parametrize("lacking", ["expected_tokens", "hold_nano_usd", "operation", "time"])
def test_a_record_that_says_too_little_is_named(lacking):
    said, _ = answered()
    said.pop(lacking)
    with pytest.raises(UnreplayableRecordError, match=f"req-1.*{lacking}"):
        recorded_call(said, catalogue())


def test_a_profile_that_only_aws_knows_is_read_by_the_model_that_answered():
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
    said, _ = answered(model_requested=profile)
    assert recorded_call(said, catalogue()).model.base_id == HAIKU


def test_the_ledgers_instant_of_the_charge_is_the_end_where_it_is_known():
    said, _ = answered(posted_at="2026-11-21T12:00:02.250Z")
    call = recorded_call(said, catalogue())
    assert (call.ended_ms, call.ended_by_ms) == (NOON_MS + 2250, NOON_MS + 2250)
    said, _ = answered()
    call = recorded_call(said, catalogue())
    assert call.ended_ms < call.ended_by_ms


def test_a_call_that_was_not_billed_took_no_tokens_and_cost_nothing():
    released = released_record(admitted(), http_status=429, settled_at=NOON + timedelta(seconds=1))
    call = recorded_call(document(released), catalogue())
    assert (call.refused_for, call.is_decided) == (None, True)
    assert (call.charge_nano_usd, call.tokens) == (0, 0)
    assert call.ended_ms == NOON_MS + 1000
    assert call.accounts == set(admitted().accounts)


def test_an_exact_count_of_no_tokens_is_no_token():
    said, _ = answered(total_tokens=0)
    assert recorded_call(said, catalogue()).tokens == 0
