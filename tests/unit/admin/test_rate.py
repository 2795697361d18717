from __future__ import annotations

from gateway.admin.rate import RouteRates
from gateway.admin.route import Rate

RATE = Rate(per_minute=60, burst=3)


def test_a_burst_passes_and_then_the_pace_holds():
    rates = RouteRates()
    assert [rates.take("key", "GET /", RATE, 100.0) for _ in range(3)] == [None] * 3
    assert rates.take("key", "GET /", RATE, 100.0) == 1.0
    assert rates.take("key", "GET /", RATE, 101.0) is None
    assert rates.take("key", "GET /", RATE, 101.0) == 1.0


def test_each_credential_and_each_route_has_its_own():
    rates = RouteRates()
    one = Rate(per_minute=1, burst=1)
    assert rates.take("ada", "GET /a", one, 0.0) is None
    assert rates.take("bob", "GET /a", one, 0.0) is None
    assert rates.take("ada", "GET /b", one, 0.0) is None
    assert rates.take("ada", "GET /a", one, 0.0) == 60.0


def test_what_was_refused_takes_nothing():
    rates = RouteRates()
    for _ in range(100):
        rates.take("key", "GET /", RATE, 0.0)
    assert rates.take("key", "GET /", RATE, 1.0) is None


def test_only_so_many_are_remembered():
    rates = RouteRates()
    for number in range(20_100):
        rates.take(f"key-{number}", "GET /", RATE, 0.0)
    assert len(rates._full_at_s) == 20_000
