"""A call as its record tells it: enough to decide it again by another policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.admission.plan import make_plan
from gateway.admission.refusal import BY_POLICY
from gateway.bedrock.model_id import parse_reference
from gateway.domain.attribution import Attribution
from gateway.domain.call import Operation
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.decision import Refuse
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId, PolicyVersion, RequestId
from gateway.domain.model import IdentifiedModel
from gateway.domain.money import NanoUsd
from gateway.domain.quote import PriceSheet, Quote
from gateway.domain.reason import Reason
from gateway.domain.record import ADMITTED_LOCALLY, REFUSED, RELEASED
from gateway.domain.reservation import AdmissionPlan
from gateway.journal.codec import POSTED_AT
from gateway.policy.effective import EffectivePolicy
from gateway.pricing.catalogue import ModelCatalogue

_TTL_MS = 7 * 24 * 3_600_000
_IN_DOUBT_MS = 2_000
"""How long after the gateway settled a call its hold may still have stood, where nobody says."""


class UnreplayableRecordError(ValueError):
    """A record does not say enough to decide its call again; the message says what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One call, what it claimed, and what was decided. Units: nano-USD, milliseconds.

    `refused_for` None: it was admitted. `is_decided`: by its policy, not in an outage.
    `ended_ms`: when its hold ended, at the earliest; `ended_by_ms`: at the latest. They are one
    where the ledger said when. `accounts`: the logical keys of what it was counted in.
    """

    request_id: RequestId
    caller: Caller
    attribution: Attribution
    operation: Operation
    model: IdentifiedModel
    policy_version: PolicyVersion
    at_ms: int
    ended_ms: int
    ended_by_ms: int
    hold_nano_usd: NanoUsd
    expected_nano_usd: NanoUsd | None
    expected_tokens: int
    output_tokens_bound: int
    charge_nano_usd: NanoUsd
    tokens: int
    refused_for: Reason | None
    is_decided: bool
    accounts: frozenset[str] = frozenset()

    @property
    def at(self) -> datetime:
        """The instant it was decided."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)


def recorded_call(document: Mapping[str, Any], catalogue: ModelCatalogue) -> RecordedCall:
    """The call that a record tells of. Raises: UnreplayableRecordError."""
    try:
        return _call(document, catalogue)
    except (KeyError, ValueError, TypeError, GatewayError) as exc:
        name = document.get("request_id", "?")
        raise UnreplayableRecordError(f"record {name}: {exc}") from exc


def plan_of(call: RecordedCall, policy: EffectivePolicy) -> AdmissionPlan | Refuse:
    """What the call would ask the ledger for under a policy, or why the answer can only be no."""
    return make_plan(
        request_id=call.request_id,
        policy=policy,
        quote=quote_of(call),
        now=call.at,
        draft=b"{}",
        ttl_ms=_TTL_MS,
    )


def quote_of(call: RecordedCall) -> Quote:
    """What the call was held for. It has no prices: its charge is known."""
    return Quote(
        hold_nano_usd=call.hold_nano_usd,
        input_tokens_bound=0,
        output_tokens_bound=call.output_tokens_bound,
        expected_tokens=call.expected_tokens,
        max_output_tokens=None,
        inject_max_tokens=False,
        sheet=PriceSheet(rows=()),
        expected_nano_usd=call.expected_nano_usd,
    )


def _call(document: Mapping[str, Any], catalogue: ModelCatalogue) -> RecordedCall:
    refused = document.get("decision") == REFUSED
    at_ms = _ms(document["time"])
    ended_ms, ended_by_ms = _end(document, at_ms)
    expected_usd = document.get("expected_nano_usd")
    hold = NanoUsd(int(document["hold_nano_usd"]))
    reason = Reason(document["reason"]) if refused else None
    expected = int(document["expected_tokens"])
    return RecordedCall(
        request_id=RequestId(document["request_id"]),
        caller=_caller(document),
        attribution=_attribution(document),
        operation=Operation(document["operation"]),
        model=_model(document, catalogue),
        policy_version=PolicyVersion(document["policy_version"]),
        at_ms=at_ms,
        ended_ms=ended_ms,
        ended_by_ms=ended_by_ms,
        hold_nano_usd=hold,
        expected_nano_usd=None if expected_usd is None else NanoUsd(int(expected_usd)),
        expected_tokens=expected,
        output_tokens_bound=int(document["output_tokens_bound"]),
        charge_nano_usd=NanoUsd(int(document["cost_nano_usd"])),
        tokens=_tokens(document, expected),
        refused_for=reason,
        is_decided=(
            reason in BY_POLICY - {Reason.EMERGENCY_STOP}
            if refused
            else document.get("decision") != ADMITTED_LOCALLY
        ),
        accounts=frozenset(document.get("accounts") or ()),
    )


def _end(document: Mapping[str, Any], at_ms: int) -> tuple[int, int]:
    """When its hold ended: by the ledger's clock, else after what the gateway's clock showed."""
    posted, settled = document.get(POSTED_AT), document.get("settled_at")
    if posted:
        ended_ms = max(at_ms, _ms(posted))
        return ended_ms, ended_ms
    ended_ms = max(at_ms, _ms(settled)) if settled else at_ms
    return ended_ms, ended_ms + _IN_DOUBT_MS


def _tokens(document: Mapping[str, Any], expected: int) -> int:
    """What its token buckets count once it ended, as `conclude` has it."""
    if document.get("decision") == RELEASED:
        return 0
    total = int(document.get("total_tokens") or 0)
    return total if document["exact"] else max(total, expected)


def _caller(document: Mapping[str, Any]) -> Caller:
    return Caller(
        key_id=KeyId(document["key_id"]),
        credential=CredentialKind.BEARER_KEY,  # the record does not say, and no rule asks
        role=Role.CALLER,
        org=document["org"],
        team=document["team"],
        user=document.get("user"),
        application=document.get("application"),
    )


def _attribution(document: Mapping[str, Any]) -> Attribution:
    """What the call said. User and application stand in the record as they were decided."""
    return Attribution(
        feature=document.get("feature"),
        agent=document.get("agent"),
        agent_type=document.get("agent_type"),
        task=document.get("task"),
        operation=document.get("operation_tag"),
        category=document.get("category"),
        environment=document.get("environment"),
    )


def _model(document: Mapping[str, Any], catalogue: ModelCatalogue) -> IdentifiedModel:
    """The model asked for; where only AWS knew it (a profile of an account), the one it named."""
    asked = catalogue.identify(parse_reference(document["model_requested"]))
    if asked.model is not None:
        return asked
    served = catalogue.identify(parse_reference(document["model_served"]))
    return asked if served.model is None else served


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
