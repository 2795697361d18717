from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.admin.access import Route, allows, bearer_of, guarded, may_read_org
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.admin import FakeGate, bearer, caller
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize("needed", [role for role in Role if role is not Role.CALLER])
def test_a_callers_key_opens_nothing(needed):
    assert not allows(Role.CALLER, needed)


def test_a_route_for_callers_cannot_be_opened_by_anyone():
    assert not any(allows(role, Role.CALLER) for role in Role)


def test_a_role_may_all_that_the_ones_before_it_may():
    order = [Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN]
    for held_place, held in enumerate(order):
        for needed_place, needed in enumerate(order):
            assert allows(held, needed) is (held_place >= needed_place)


def test_orgs_see_themselves_and_administrators_see_all():
    assert may_read_org(caller(Role.VIEWER, "acme"), "acme")
    assert not may_read_org(caller(Role.OPERATOR, "acme"), "evil")
    assert may_read_org(caller(Role.ADMIN, "platform"), "acme")
    assert not may_read_org(caller(Role.CALLER, "acme"), "acme")


async def answer(_request, _caller):
    return web.Response(text="done")


async def test_a_guard_lets_in_who_has_the_role_and_hands_on_who_it_is():
    seen = []

    async def remember(_request, who):
        seen.append(who)
        return web.Response()

    route = Route(method="GET", path="/", role=Role.VIEWER, summary="", handler=remember)
    handler = guarded(route, FakeGate(), FakeClock())
    await handler(make_mocked_request("GET", "/", headers=bearer("analyst@acme")))
    assert [(who.role, who.org) for who in seen] == [(Role.ANALYST, "acme")]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.CREDENTIAL_MISSING),
        ({"Authorization": "Basic YTpi"}, Reason.CREDENTIAL_MALFORMED),
        ({"Authorization": "Bearer nobody"}, Reason.CREDENTIAL_UNKNOWN),
        ({"Authorization": "Bearer caller@acme"}, Reason.ROLE_NOT_ALLOWED),
    ],
)
async def test_a_guard_says_why_it_does_not_let_in(headers, reason):
    route = Route(method="GET", path="/", role=Role.VIEWER, summary="", handler=answer)
    with pytest.raises(GatewayError) as caught:
        await guarded(route, FakeGate(), FakeClock())(
            make_mocked_request("GET", "/", headers=headers)
        )
    assert caught.value.reason is reason


def test_the_scheme_is_read_without_regard_to_case():
    request = make_mocked_request("GET", "/", headers={"Authorization": "bearer  abc "})
    assert bearer_of(request) == "abc"
