from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.settlement import (
    UNBILLED_STATUSES,
    Ending,
    conclude,
    draft_record,
    is_certainly_unbilled,
    unsettled_record,
)
from gateway.domain.call import CallFacts
from gateway.domain.money import to_nano_usd, to_usd
from gateway.domain.quote import PriceSheet
from gateway.domain.record import ADMITTED_LOCALLY, CallStatus
from gateway.domain.reservation import Rank
from gateway.domain.tokens import AtLeast, Exact, ServiceTier, TokenCounts, Unit, Usage
from gateway.journal.codec import decode_document, encode_record, from_item, to_item
from gateway.pricing.cost import cost_of
from tests.fakes.calls import HOLD, admitted, call_context, price_row
from tests.fakes.clock import NOON

LATER = NOON + timedelta(seconds=2)

counts = st.integers(0, 3_000_000)
tokens = st.builds(
    TokenCounts,
    input=counts,
    output=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
)
units = st.lists(
    st.tuples(st.sampled_from(Unit), st.decimals(0, 100, places=2, allow_nan=False)),
    max_size=2,
    unique_by=lambda pair: pair[0],
).map(tuple)
usages = st.builds(
    Usage,
    tokens=tokens,
    other_units=units,
    service_tier=st.sampled_from([None, *ServiceTier]),
    latency_optimized=st.sampled_from([None, True, False]),
)
measurements = st.one_of(
    st.none(),
    st.builds(Exact, usage=usages, error=st.sampled_from([None, "throttlingException"])),
    st.builds(AtLeast, usage=usages, why=st.just("truncated")),
)
holds = st.integers(0, 10**12)


def ending(measurement, **more):
    return Ending(status=CallStatus.OK, measurement=measurement, **more)


def charged(measurement, hold=HOLD):
    return conclude(admitted(call_context(hold=hold)), ending(measurement), settled_at=LATER)


@given(measurements, holds)
def test_what_is_not_exact_is_never_refunded_and_what_is_exact_is_its_cost(measurement, hold):
    """I5: never below the bill, and for exact calls less than one nano-USD above it."""
    charge = charged(measurement, hold)
    record = charge.record
    usage = measurement.usage if measurement is not None else Usage()
    cost = cost_of(usage, call_context().quote.sheet)
    if isinstance(measurement, Exact):
        assert charge.nano_usd == cost.nano_usd == to_nano_usd(cost.usd)
        assert 0 <= to_usd(charge.nano_usd) - record.cost_usd < to_usd(1)
        assert (charge.rank, record.exact) == (Rank.MEASURED, True)
    else:
        assert charge.nano_usd == max(hold, cost.nano_usd)
        assert (charge.rank, record.exact) == (Rank.CONSERVATIVE, False)
        assert record.estimate_reason
    assert record.cost_usd <= to_usd(charge.nano_usd)
    assert record.cost_nano_usd == charge.nano_usd
    assert record.rank == charge.rank.value
    assert record.overrun_nano_usd == max(0, charge.nano_usd - hold)
    assert record.hold_nano_usd == hold


@given(measurements)
def test_token_rates_are_never_corrected_below_what_was_seen(measurement):
    charge = charged(measurement)
    seen = measurement.usage.tokens.total if measurement is not None else 0
    assert charge.tokens >= seen
    if isinstance(measurement, Exact):
        assert charge.tokens == seen
    else:
        assert charge.tokens >= call_context().quote.expected_tokens


@given(measurements, holds)
def test_every_record_can_be_journalled_and_kept(measurement, hold):
    record = charged(measurement, hold).record
    document = decode_document(encode_record(record))
    assert document == record.to_document()
    assert Decimal(document["cost_usd"]) == record.cost_usd
    assert from_item(to_item(document)) == document


def test_a_draft_can_be_journalled_and_says_it_is_an_estimate():
    draft = draft_record(call_context(), hold_nano_usd=HOLD, at=NOON)
    document = decode_document(encode_record(draft))
    assert document == draft.to_document()
    assert document["request_id"] == "req-1"
    assert document["time"] == "2026-11-21T12:00:00.000Z"
    assert (document["cost_nano_usd"], Decimal(document["cost_usd"])) == (HOLD, Decimal("0.001"))
    assert (document["exact"], document["rank"], document["status"]) == (False, 1, "unknown")
    assert (document["org"], document["team"], document["user"]) == ("acme", "web", "ada")
    assert document["price_id"] == "haiku"
    assert document["input_tokens"] is None


def test_a_record_says_who_what_when_and_how_it_ended():
    usage = Usage(
        tokens=TokenCounts(input=1000, output=500, cache_read=7),
        service_tier=ServiceTier.PRIORITY,
        other_units=((Unit.IMAGE, Decimal(2)),),
        model_invoked="anthropic.claude-other",
    )
    record = conclude(
        admitted(),
        ending(
            Exact(usage=usage, error="throttlingException"),
            http_status=200,
            latency_ms=812,
            time_to_first_byte_ms=90,
            upstream_request_id="aws-1",
        ),
        settled_at=LATER,
    ).record
    assert (record.time, record.settled_at) == (
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T12:00:02.000Z",
    )
    assert (record.input_tokens, record.output_tokens, record.cache_read_tokens) == (1000, 500, 7)
    assert (record.total_tokens, record.service_tier) == (1507, "priority")
    assert record.other_units == (("image", Decimal(2)),)
    assert record.model_served == "anthropic.claude-other"
    assert (record.latency_ms, record.time_to_first_byte_ms) == (812, 90)
    assert (record.http_status, record.upstream_request_id) == (200, "aws-1")
    assert record.error == "throttlingException"
    assert record.accounts == ("usd:org/acme:month:UTC:2026-11",)


def test_the_gateways_own_error_goes_before_the_streams():
    measured = AtLeast(usage=Usage(), why="truncated", error="modelStreamErrorException")
    record = conclude(
        admitted(), ending(measured, error="upstream_timeout"), settled_at=LATER
    ).record
    assert (record.error, record.estimate_reason) == ("upstream_timeout", "truncated")


def test_what_was_not_measured_is_unknown_and_not_zero():
    record = charged(None).record
    assert (record.input_tokens, record.output_tokens, record.total_tokens) == (None, None, None)
    assert record.estimate_reason == "no answer was measured"


def test_a_call_is_charged_by_the_tier_that_served_it():
    sheet = PriceSheet(
        rows=(
            ("default", price_row()),
            ("flex", price_row("haiku flex", input_usd="0.125", output_usd="0.625")),
        )
    )
    context = call_context()
    context = replace(context, quote=replace(context.quote, sheet=sheet))
    usage = Usage(tokens=TokenCounts(input=1000, output=500), service_tier=ServiceTier.FLEX)
    charge = conclude(admitted(context), ending(Exact(usage=usage)), settled_at=LATER)
    assert charge.nano_usd == 1000 * 125 + 500 * 625
    assert charge.record.price_id == "haiku flex"


def test_what_the_request_asked_for_is_kept_beside_what_it_cost():
    context = call_context()
    facts = CallFacts(text_bytes=1, max_output_tokens=9, parameters=(("temperature", "0.5"),))
    draft = draft_record(replace(context, facts=facts), hold_nano_usd=HOLD, at=NOON)
    assert draft.metadata == (("temperature", "0.5"), ("max_tokens", "9"))


def test_only_these_answers_prove_that_nothing_was_billed():
    """accounting.md section 3."""
    proving = {status for status in range(100, 600) if is_certainly_unbilled(status)}
    assert proving == UNBILLED_STATUSES == {400, 403, 404, 413, 429, 503}


def test_the_record_of_a_call_that_was_let_pass_locally_says_so_and_why():
    passed = replace(admitted(), is_local=True)
    for record in (
        unsettled_record(passed),
        conclude(passed, ending(None), settled_at=LATER).record,
        conclude(passed, ending(Exact(usage=Usage())), settled_at=LATER).record,
    ):
        assert (record.decision, record.reason) == (ADMITTED_LOCALLY, "ledger_unavailable")
        assert record.accounts == passed.accounts
    held = unsettled_record(admitted())
    assert (held.decision, held.reason) == ("admit", None)
