from __future__ import annotations

import pytest

from gateway.admin.access import Administrator
from gateway.admin.asked import Asked
from gateway.admin.models.keys import KeyQuery, RevocationOrder
from gateway.admin.problem import ProblemError
from gateway.domain.caller import Role
from gateway.domain.scope import Scope
from tests.fakes.admin import caller
from tests.fakes.clock import NOON


def asked(**given):
    who = Administrator(caller=caller(Role.OPERATOR))
    return Asked(administrator=who, now=NOON, path={}, **given)


def test_what_was_read_is_given_as_its_model():
    order, query = RevocationOrder(why="lost"), KeyQuery()
    request = asked(body_model=order, query_model=query)
    assert request.body(RevocationOrder) is order
    assert request.query(KeyQuery) is query
    assert asked().body(RevocationOrder) == RevocationOrder()
    with pytest.raises(AssertionError):
        request.body(KeyQuery)


def test_who_asks_for_the_reach_has_looked():
    request = asked()
    assert not request.has_looked
    request.expect_within(Scope.parse("org/acme/team/web"))
    assert request.has_looked


@pytest.mark.parametrize("scope", ["platform", "org/evil", "org/acme2/team/web"])
def test_a_scope_beyond_reach_is_forbidden(scope):
    with pytest.raises(ProblemError) as refused:
        asked().expect_within(Scope.parse(scope))
    assert (refused.value.status, refused.value.kind) == (403, "scope_not_allowed")


@pytest.mark.parametrize("tags", [None, {"*"}, {"3"}, {"2", "3"}])
def test_a_change_of_the_version_that_is_there_passes(tags):
    asked(if_match=tags and frozenset(tags)).expect_version("3")


def test_a_change_of_another_version_does_not():
    with pytest.raises(ProblemError) as refused:
        asked(if_match=frozenset({"2"})).expect_version("3")
    assert refused.value.status == 412
