from gateway.domain.ids import RequestId
from gateway.domain.reservation import Account, Resource, Utilisation
from gateway.domain.scope import Scope
from gateway.proxy.answer_headers import admitted_headers, plain_headers
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


def test_an_overrun_budget_has_nothing_left_rather_than_less():
    headers = dict(admitted_headers(admitted_call(utilisation=(utilisation(9, 5),))))
    assert headers["x-gateway-budget-remaining-usd"] == "0"


def test_without_a_budget_nothing_is_said_of_one():
    admitted = admitted_call(utilisation=(utilisation(0, 9, Resource.TOKENS),))
    assert "x-gateway-budget-remaining-usd" not in dict(admitted_headers(admitted))
