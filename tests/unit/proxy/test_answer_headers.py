from gateway.domain.decision import Refuse
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.reason import Reason
from gateway.domain.reservation import (
    Account,
    AdmissionPlan,
    BucketClaim,
    Resource,
    Rung,
    Utilisation,
)
from gateway.domain.scope import Scope
from gateway.proxy.answer_headers import (
    admitted_headers,
    limit_headers,
    plain_headers,
    refusal_headers,
)
from tests.fakes.calls import admitted_call


def utilisation(used, ceiling, resource=Resource.MONEY):
    account = Account(scope=Scope.org("acme"), resource=resource, name="x", key="x")
    return Utilisation(account=account, used=used, ceiling=ceiling, resets_at_ms=None)


def test_every_answer_names_its_request():
    headers = plain_headers(RequestId("req-9"))
    assert headers == (("server", "bedrock-gateway"), ("x-gateway-request-id", "req-9"))


def test_what_is_left_is_that_of_the_tightest_budget():
    admitted = admitted_call(
        utilisation=(
            utilisation(1_000_000_000, 5_000_000_000),
            utilisation(500_000_000, 750_000_001),
            utilisation(1, 1, Resource.REQUESTS),
        )
    )
    headers = dict(admitted_headers(admitted))
    assert headers == {
        "server": "bedrock-gateway",
        "x-gateway-request-id": "req-1",
        "x-gateway-level": "0",
        "x-gateway-policy-version": "p1",
        "x-gateway-budget-remaining-usd": "0.250000001",
    }


def rate(name, capacity, period_ms, *, enforced=True):
    account = Account(
        scope=Scope.org("acme"), resource=Resource.REQUESTS, name=name, key=f"key of {name}"
    )
    return BucketClaim(
        account=account, amount=1, capacity=capacity, period_ms=period_ms, enforced=enforced
    )


def taken(claim, used):
    return Utilisation(account=claim.account, used=used, ceiling=claim.capacity, resets_at_ms=None)


def test_rates_are_told_in_the_form_of_the_draft_the_tightest_first():
    minute = rate("per minute", 60, 60_000)
    hour = rate("per hour", 1_000, 3_600_000)
    second = rate("per second", 2, 1_000)
    claims = (hour, minute, second)
    headers = dict(limit_headers(claims, (taken(minute, 30), taken(hour, 1), taken(second, 2))))
    assert headers == {
        "RateLimit-Policy": (
            '"per second";q=2;w=1, "per minute";q=60;w=60, "per hour";q=1000;w=3600'
        ),
        "RateLimit": '"per second";r=0;t=1, "per minute";r=30;t=30, "per hour";r=999;t=4',
    }


def test_no_more_rates_are_told_than_a_header_can_hold():
    claims = [rate(f"limit {number}", 100, 60_000) for number in range(30)]
    headers = dict(limit_headers(claims, [taken(claim, 1) for claim in claims]))
    assert headers["RateLimit"].count("r=99") == 4


def test_a_rate_that_is_only_observed_is_not_told():
    shadow = rate("shadow", 1, 60_000, enforced=False)
    assert limit_headers((shadow,), (taken(shadow, 5),)) == ()


def test_a_rate_that_is_in_debt_has_nothing_left_rather_than_less():
    claim = rate("tokens", 100, 60_000)
    assert '"tokens";r=0;t=60' in dict(limit_headers((claim,), (taken(claim, 250),)))["RateLimit"]


def test_a_refused_call_is_told_the_edition_and_the_limit_it_met():
    claim = rate("per minute", 60, 60_000)
    plan = AdmissionPlan(
        request_id=RequestId("req-1"),
        rungs=(Rung(name="x", hold_nano_usd=0, claims=(claim,)),),
        ttl_ms=1,
        policy_version=PolicyVersion("p1"),
        draft=b"",
    )
    refusal = Refuse(reason=Reason.RATE_LIMITED, detail="", blocking=taken(claim, 60))
    assert dict(refusal_headers(plan, refusal)) == {
        "x-gateway-level": "0",
        "x-gateway-policy-version": plan.policy_version,
        "RateLimit-Policy": '"per minute";q=60;w=60',
        "RateLimit": '"per minute";r=0;t=60',
    }


def test_an_overrun_budget_has_nothing_left_rather_than_less():
    headers = dict(admitted_headers(admitted_call(utilisation=(utilisation(9, 5),))))
    assert headers["x-gateway-budget-remaining-usd"] == "0"


def test_without_a_budget_nothing_is_said_of_one():
    admitted = admitted_call(utilisation=(utilisation(0, 9, Resource.TOKENS),))
    assert "x-gateway-budget-remaining-usd" not in dict(admitted_headers(admitted))
