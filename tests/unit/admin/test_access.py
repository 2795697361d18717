from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.admin.access import Administrator, allows, bearer_of, expect_role
from gateway.control.reach import Reach
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from tests.fakes.admin import caller

END = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("needed", [role for role in Role if role is not Role.CALLER])
def test_a_callers_key_opens_nothing(needed):
    assert not allows(Role.CALLER, needed)
    with pytest.raises(GatewayError) as refused:
        expect_role(Administrator(caller=caller(Role.CALLER)), needed)
    assert refused.value.reason is Reason.ROLE_NOT_ALLOWED


def test_a_route_for_callers_cannot_be_opened_by_anyone():
    assert not any(allows(role, Role.CALLER) for role in Role)


def test_a_role_may_all_that_the_ones_before_it_may():
    order = [Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN]
    for held_place, held in enumerate(order):
        for needed_place, needed in enumerate(order):
            assert allows(held, needed) is (held_place >= needed_place)


def test_the_scheme_is_read_without_regard_to_case():
    request = make_mocked_request("GET", "/", headers={"Authorization": "bearer  abc "})
    assert bearer_of(request) == "abc"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.CREDENTIAL_MISSING),
        ({"X-Api-Key": "admin@acme"}, Reason.CREDENTIAL_MISSING),
        ({"Cookie": "session=admin@acme"}, Reason.CREDENTIAL_MISSING),
        ({"Authorization": "Basic YTpi"}, Reason.CREDENTIAL_MALFORMED),
        ({"Authorization": "Bearer one two"}, Reason.CREDENTIAL_MALFORMED),
        ({"Authorization": "Bearer one,two"}, Reason.CREDENTIAL_MALFORMED),
        ({"Authorization": "Bearer schlüssel"}, Reason.CREDENTIAL_MALFORMED),
        ({"Authorization": "Bearer " + "x" * 8193}, Reason.CREDENTIAL_MALFORMED),
    ],
)
def test_a_credential_is_one_bearer_header_and_nothing_else(headers, reason):
    with pytest.raises(GatewayError) as caught:
        bearer_of(make_mocked_request("GET", "/", headers=headers))
    assert caught.value.reason is reason


def test_an_administrator_hands_on_what_they_have_and_no_more():
    who = Administrator(caller=caller(Role.OPERATOR, team="web"), expires_at=END)
    maker = who.as_maker
    assert (maker.role, maker.reach) == (Role.OPERATOR, Reach(org="acme", team="web"))
    assert maker.may_set == who.caller.may_set
    assert maker.may_act_for_others is False
    assert maker.expires_at == END


def test_a_key_is_named_by_its_id_and_a_token_by_its_user():
    assert Administrator(caller=caller(Role.ADMIN)).name == "key:AKIAADMIN"
    assert Administrator(caller=caller(Role.ADMIN, user="ada")).person == "ada (key:AKIAADMIN)"
    token = Caller(
        key_id=KeyId("jwt-1"),
        credential=CredentialKind.JWT,
        role=Role.ADMIN,
        org="acme",
        user="grace@acme",
    )
    assert Administrator(caller=token).name == "jwt:grace@acme"
    assert Administrator(caller=token).person == "jwt:grace@acme"
