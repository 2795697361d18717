from __future__ import annotations

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.policy.parse import parse_policies
from gateway.proxy.admit import Rules
from gateway.proxy.refusals import NotingAdmit
from tests.fakes.calls import (
    HAIKU,
    admitted_call,
    catalogue_model,
    converse_body,
    identified_call,
    price_book,
)
from tests.fakes.clock import NOON, FakeClock

POLICY = 'version: 1\norg: acme\nmodels: {allow: ["*"]}\n'


class Desk:
    def __init__(self, outcome):
        self.noted = []
        rules = Rules(
            policies=parse_policies({"acme.yaml": POLICY}),
            prices=price_book(),
            home_accounts=frozenset(),
        )

        async def admit(_identified):
            if isinstance(outcome, GatewayError):
                raise outcome
            return outcome

        self.policies = rules.policies
        self.stage = NotingAdmit(admit, lambda: rules, FakeClock(NOON), self.noted.append)


async def test_an_admitted_call_passes_and_is_not_noted():
    admitted = admitted_call()
    desk = Desk(admitted)
    assert await desk.stage(identified_call()) is admitted
    assert desk.noted == []


async def test_a_refused_call_is_noted_with_its_quote_and_goes_on_being_refused():
    refused = GatewayError(Reason.RATE_LIMITED, "Limit 'user' of org/acme")
    desk = Desk(refused)
    with pytest.raises(GatewayError) as caught:
        await desk.stage(identified_call())
    assert caught.value is refused
    (record,) = desk.noted
    assert (record.reason, record.error) == ("rate_limited", "Limit 'user' of org/acme")
    assert record.policy_version == desk.policies.version
    assert record.model_requested == HAIKU
    assert record.hold_nano_usd > 0
    assert record.expected_tokens > 0


async def test_a_call_whose_cost_has_no_bound_is_noted_without_one():
    desk = Desk(GatewayError(Reason.MODEL_NOT_ALLOWED, "denied"))
    unbounded = identified_call(
        catalogue_model(max_output_tokens=None, context_window=None), body=converse_body()
    )
    with pytest.raises(GatewayError):
        await desk.stage(unbounded)
    assert desk.noted[0].reason == "model_not_allowed"


@pytest.mark.parametrize(
    "reason", [Reason.LEDGER_UNAVAILABLE, Reason.STALE_PLAN, Reason.OVERLOADED]
)
async def test_a_failure_is_not_noted(reason):
    desk = Desk(GatewayError(reason))
    with pytest.raises(GatewayError):
        await desk.stage(identified_call())
    assert desk.noted == []


async def test_a_refusal_is_noted_under_the_edition_that_decided_it():
    """Newer rules may be in force by the time it is noted."""
    desk = Desk(GatewayError(Reason.MODEL_NOT_ALLOWED, "denied", decided_by="older"))
    with pytest.raises(GatewayError):
        await desk.stage(identified_call())
    assert desk.noted[0].policy_version == "older"
