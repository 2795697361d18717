from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.accounts import ceiling_of
from gateway.admission.shards import platform_share, shard_keys, shard_of
from gateway.domain.reservation import Rung
from gateway.domain.scope import Scope
from tests.fakes.ledgers import budget, lease, rate

PLATFORM = Scope.platform()


def rung(*claims):
    return Rung(name="r", hold_nano_usd=0, claims=claims)


def test_an_orgs_shard_never_moves():
    """A changed hash would leave every org's spend behind on another shard."""
    assert [shard_of(org, 16) for org in ("acme", "globex", "initech", "")] == [14, 10, 0, 0]
    assert {shard_of(org, 1) for org in ("acme", "globex")} == {0}


def test_each_shard_has_its_own_tag():
    assert [keys.due for keys in shard_keys(2)] == ["{s0}:due", "{s1}:due"]


@given(st.integers(0, 10**15), st.integers(1, 64))
def test_the_parts_of_a_platform_budget_are_the_budget(ceiling, count):
    claims = rung(budget(1, ceiling, scope=PLATFORM), lease(ceiling, scope=PLATFORM))
    parts = [platform_share(claims, number, count).claims for number in range(count)]
    for place in (0, 1):
        assert sum(ceiling_of(claims[place]) for claims in parts) == ceiling


@given(st.integers(1, 10**9), st.integers(1, 64))
def test_the_parts_of_a_platform_rate_are_the_rate_or_the_least_that_can_be(capacity, count):
    claims = rung(rate(1, capacity, scope=PLATFORM))
    total = sum(platform_share(claims, n, count).claims[0].capacity for n in range(count))
    assert total == max(capacity, count)


def test_the_limits_of_an_org_are_not_divided():
    claims = rung(budget(1, 100), rate(1, 100), lease(100))
    assert platform_share(claims, 3, 16) == claims
