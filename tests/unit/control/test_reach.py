from __future__ import annotations

import pytest

from gateway.control.reach import Reach, at_least, reach_of
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId
from gateway.domain.scope import Scope

EVERYTHING = Reach(org=None)


def caller(kind=CredentialKind.BEARER_KEY, **bound):
    values = {"org": "acme", "role": Role.VIEWER, **bound}
    return Caller(key_id=KeyId("AKIA"), credential=kind, **values)


@pytest.mark.parametrize(
    ("bound", "reach", "scope"),
    [
        ({"org": "platform"}, EVERYTHING, "platform"),
        ({"org": "platform", "team": "sre", "user": "ada"}, EVERYTHING, "platform"),
        ({}, Reach(org="acme"), "org/acme"),
        ({"team": "web"}, Reach(org="acme", team="web"), "org/acme/team/web"),
        (
            {"team": "web", "user": "ada"},
            Reach(org="acme", team="web", user="ada"),
            "org/acme/team/web/user/ada",
        ),
        (
            {"user": "ada"},
            Reach(org="acme", team="unattributed", user="ada"),
            "org/acme/team/unattributed/user/ada",
        ),
        (
            {"application": "shop"},
            Reach(org="acme", application="shop"),
            "org/acme/application/shop",
        ),
    ],
)
def test_a_key_reaches_what_it_is_bound_to(bound, reach, scope):
    assert reach_of(caller(**bound)) == reach
    assert reach.scope == Scope.parse(scope)


def test_a_tokens_user_says_who_and_bounds_nothing():
    token = caller(CredentialKind.JWT, user="ada")
    assert reach_of(token) == Reach(org="acme")
    assert reach_of(caller(CredentialKind.JWT, user="ada", team="web")).team == "web"


@pytest.mark.parametrize(
    ("reach", "scope", "is_covered"),
    [
        (EVERYTHING, "platform", True),
        (EVERYTHING, "org/acme", True),
        (Reach(org="acme"), "platform", False),
        (Reach(org="acme"), "org/acme", True),
        (Reach(org="acme"), "org/acme/feature/summary", True),
        (Reach(org="acme"), "org/acmes", False),
        (Reach(org="acme", team="web"), "org/acme", False),
        (Reach(org="acme", team="web"), "org/acme/team/web/user/ada", True),
        (Reach(org="acme", team="web"), "org/acme/team/web2", False),
        (Reach(org="acme", team="web"), "org/acme/feature/summary", False),
        (Reach(org="acme", team="web"), "org/acme/team/ops/team/web", False),
        (Reach(org="acme", team="web", user="ada"), "org/acme/team/web", False),
        (Reach(org="acme", team="web", user="ada"), "org/acme/team/web/user/ada", True),
    ],
)
def test_a_scope_is_reached_or_it_is_not(reach, scope, is_covered):
    assert reach.covers(Scope.parse(scope)) is is_covered


def test_whoever_and_whatever_meets_all_bounds_is_reached():
    reach = Reach(org="acme", team="web", application="shop")
    assert reach.covers_holder("acme", "web", "ada", "shop")
    assert not reach.covers_holder("acme", "web", "ada", None)
    record = {"org": "acme", "team": "web", "user": None, "application": "shop"}
    assert reach.covers_record(record)
    assert not reach.covers_record({**record, "org": "evil"})
    assert not reach.covers_record({})
    assert EVERYTHING.covers_record({})


def test_roles_are_in_order():
    roles = [Role.CALLER, Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN]
    for place, held in enumerate(roles):
        assert [at_least(held, needed) for needed in roles] == [
            other <= place for other in range(5)
        ]
