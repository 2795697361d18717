"""What a call is charged in the end, and its record: pure, from what was admitted and measured.

The law (docs/accounting.md): an exact measurement is charged as measured; anything else is charged
max(hold, measured) and marked; a hold is released only when the call was certainly not billed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.domain.attribution import (
    NOTHING_SAID,
    Attribution,
    attributed_application,
    attributed_user,
)
from gateway.domain.call import CallFacts, Operation
from gateway.domain.caller import Caller
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.model import IdentifiedModel
from gateway.domain.money import NanoUsd, to_usd
from gateway.domain.quote import Cost, Quote
from gateway.domain.reason import Reason
from gateway.domain.record import ADMITTED_LOCALLY, CallStatus, UsageRecord
from gateway.domain.reservation import Rank, Utilisation
from gateway.domain.tokens import AtLeast, Exact, Measurement, Usage
from gateway.pricing.cost import cost_of

UNBILLED_STATUSES = frozenset({400, 403, 404, 413, 429, 503})
"""Answers that say AWS did not run the model, if they come before any body byte.

Source: Bedrock error table; 408, 424, 500, 502 and 504 may follow a run and are charged.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What is known of a call before the ledger is asked: all that its record needs."""

    request_id: RequestId
    caller: Caller
    operation: Operation
    model: IdentifiedModel
    region: str
    facts: CallFacts
    quote: Quote
    policy_version: PolicyVersion
    attribution: Attribution = NOTHING_SAID


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A call whose hold stands. `at_ms` is the ledger's instant of admission.

    `is_local`: its worker let it pass by itself, at its own instant, and perhaps no hold stands.
    """

    context: CallContext
    hold_nano_usd: NanoUsd
    at_ms: int
    accounts: tuple[str, ...]
    utilisation: tuple[Utilisation, ...] = ()
    is_local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a call that was sent ended. `measurement` None: there was nothing to measure."""

    status: CallStatus
    measurement: Measurement | None
    http_status: int | None = None
    error: str | None = None
    latency_ms: int | None = None
    time_to_first_byte_ms: int | None = None
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The final charge of one call, with the record that says why."""

    nano_usd: NanoUsd
    tokens: int
    rank: Rank
    record: UsageRecord


def is_certainly_unbilled(http_status: int) -> bool:
    """Whether an error answer proves that the model did not run."""
    return http_status in UNBILLED_STATUSES


def draft_record(
    context: CallContext, *, hold_nano_usd: NanoUsd, at: datetime, accounts: tuple[str, ...] = ()
) -> UsageRecord:
    """The record of a call whose end nobody saw: the hold is charged, rank 1, marked."""
    caller, model, said = context.caller, context.model, context.attribution
    return UsageRecord(
        request_id=context.request_id,
        time=_iso(at),
        key_id=caller.key_id,
        org=caller.org,
        team=caller.team,
        user=attributed_user(caller, said),
        application=attributed_application(caller, said),
        feature=said.feature,
        agent=said.agent,
        agent_type=said.agent_type,
        task=said.task,
        operation_tag=said.operation,
        category=said.category,
        environment=said.environment,
        end_user=said.end_user,
        metadata=_stated_parameters(context.facts),
        operation=context.operation.value,
        model_requested=model.reference.text,
        model_served=model.base_id,
        region=context.region,
        service_tier=context.facts.service_tier.value if context.facts.service_tier else None,
        cost_usd=to_usd(hold_nano_usd),
        cost_nano_usd=hold_nano_usd,
        hold_nano_usd=hold_nano_usd,
        expected_tokens=context.quote.expected_tokens,
        expected_nano_usd=context.quote.expected_nano_usd,
        output_tokens_bound=context.quote.output_tokens_bound,
        price_id=context.quote.sheet.row(None).id,
        exact=False,
        estimate_reason="the gateway that ran the call did not settle it",
        rank=Rank.CONSERVATIVE.value,
        status=CallStatus.UNKNOWN,
        policy_version=context.policy_version,
        accounts=accounts,
    )


def unsettled_record(admitted: Admitted) -> UsageRecord:
    """The record of an admitted call of which nobody sees how it ends."""
    draft = draft_record(
        admitted.context,
        hold_nano_usd=admitted.hold_nano_usd,
        at=datetime.fromtimestamp(admitted.at_ms / 1000, UTC),
        accounts=admitted.accounts,
    )
    if not admitted.is_local:
        return draft
    reason = Reason.LEDGER_UNAVAILABLE.value
    return replace(draft, decision=ADMITTED_LOCALLY, reason=reason)


def conclude(admitted: Admitted, ending: Ending, *, settled_at: datetime) -> Charge:
    """The charge and the record of a call that was sent.

    Invariant (I5): the charge of an exact measurement is its cost, rounded up once; of any other
    it is at least the hold, so never below the bill of an abandoned generation.
    """
    usage, exact, why = _measured(ending.measurement)
    measured = cost_of(usage, admitted.context.quote.sheet)
    hold = admitted.hold_nano_usd
    if exact or measured.nano_usd > hold:
        nano, usd = measured.nano_usd, measured.usd
    else:
        nano, usd = hold, to_usd(hold)
    rank = Rank.MEASURED if exact else Rank.CONSERVATIVE
    record = replace(
        _with_usage(
            unsettled_record(admitted), usage, measured, is_known=ending.measurement is not None
        ),
        settled_at=_iso(settled_at),
        cost_usd=usd,
        cost_nano_usd=nano,
        exact=exact,
        estimate_reason=why,
        overrun_nano_usd=max(0, nano - hold),
        rank=rank.value,
        latency_ms=ending.latency_ms,
        time_to_first_byte_ms=ending.time_to_first_byte_ms,
        status=ending.status,
        http_status=ending.http_status,
        error=ending.error or (ending.measurement.error if ending.measurement else None),
        upstream_request_id=ending.upstream_request_id,
    )
    tokens = (
        usage.tokens.total
        if exact
        else max(usage.tokens.total, admitted.context.quote.expected_tokens)
    )
    return Charge(nano_usd=nano, tokens=tokens, rank=rank, record=record)


def _measured(measurement: Measurement | None) -> tuple[Usage, bool, str | None]:
    match measurement:
        case Exact(usage=usage):
            return usage, True, None
        case AtLeast(usage=usage, why=why):
            return usage, False, why
        case None:
            return Usage(), False, "no answer was measured"


def _with_usage(record: UsageRecord, usage: Usage, cost: Cost, *, is_known: bool) -> UsageRecord:
    if not is_known:
        return record
    tokens = usage.tokens
    return replace(
        record,
        model_served=usage.model_invoked or record.model_served,
        service_tier=usage.service_tier.value if usage.service_tier else record.service_tier,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_5m_tokens=tokens.cache_write_5m,
        cache_write_1h_tokens=tokens.cache_write_1h,
        total_tokens=tokens.total,
        other_units=tuple((unit.value, amount) for unit, amount in usage.other_units),
        price_id=cost.price_id,
    )


def _stated_parameters(facts: CallFacts) -> tuple[tuple[str, str], ...]:
    if facts.max_output_tokens is None:
        return facts.parameters
    return (*facts.parameters, ("max_tokens", str(facts.max_output_tokens)))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
