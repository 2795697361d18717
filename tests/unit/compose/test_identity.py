from datetime import timedelta

import pytest

from gateway.authn.key_format import bearer_key, key_id_from
from gateway.authn.presented import PresentedRequest
from gateway.compose.identity import AdminGate, open_admin_gate, open_authenticator
from gateway.compose.stores import make_sealer
from gateway.control.keys import SET_BY_DEFAULT, SETTABLE
from gateway.control.reach import Reach
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.issued_keys import FakeKeyDirectory, issued_key
from tests.fakes.jwt_issuer import AUDIENCE, ISSUER, claims, jwk_of, key_set, rsa_key, token
from tests.fakes.short_term_keys import mint

KEY_ID = key_id_from(b"0123456789")
BEARER = bearer_key(KEY_ID, b"x" * 32)


def directory(settings, role=Role.CALLER):
    digest = make_sealer(settings).bearer_digest(BEARER)
    return FakeKeyDirectory(issued_key(KEY_ID, bearer_digest=digest, role=role))


def presented(bearer):
    return PresentedRequest(
        method="POST",
        raw_path="/model/x/converse",
        raw_query="",
        headers=(("Authorization", f"Bearer {bearer}"),),
        body_sha256="",
        host="a",
    )


async def authenticate(settings, bearer):
    async with open_authenticator(
        settings, directory(settings), FakeClock(), home_region="us-east-1"
    ) as authenticator:
        return await authenticator.authenticate(presented(bearer), NOON)


async def test_the_data_plane_takes_a_bearer_key_sealed_with_the_master_key(make_settings):
    found = await authenticate(make_settings(), BEARER)
    assert (found.caller.key_id, found.caller.user) == (KEY_ID, "ada")


async def test_without_an_issuer_a_token_is_no_credential(make_settings):
    with pytest.raises(GatewayError) as refused:
        await authenticate(make_settings(), token())
    assert refused.value.reason in (Reason.CREDENTIAL_UNKNOWN, Reason.CREDENTIAL_MALFORMED)


async def test_an_issuer_whose_key_is_a_file_vouches_for_its_tokens(make_settings, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set(jwk_of(rsa_key(), "rsa")))
    settings = make_settings(
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_key_file=str(keys), jwt_user_claim="name"
    )
    found = await authenticate(settings, token(claims(name="grace")))
    assert (found.caller.org, found.caller.user) == ("acme", "grace")


async def test_the_admin_door_takes_any_role_and_says_which(make_settings):
    settings = make_settings()
    gate = AdminGate(settings, directory(settings, Role.ADMIN))
    assert (await gate.admit(BEARER, NOON)).role is Role.ADMIN
    with pytest.raises(GatewayError) as refused:
        await gate.admit(bearer_key(KEY_ID, b"y" * 32), NOON)
    assert refused.value.reason is Reason.CREDENTIAL_UNKNOWN


async def test_a_short_term_key_opens_no_admin_door(make_settings):
    settings = make_settings()
    with pytest.raises(GatewayError) as refused:
        await AdminGate(settings, directory(settings)).admit(mint(key_id=KEY_ID), NOON)
    assert refused.value.reason is Reason.CREDENTIAL_UNKNOWN


async def admit(settings, bearer):
    async with open_admin_gate(settings, directory(settings, Role.ADMIN), FakeClock()) as gate:
        return await gate.admit(bearer, NOON)


@pytest.fixture
def with_issuer(make_settings, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set(jwk_of(rsa_key(), "rsa")))
    return make_settings(
        admin_jwt_issuer=ISSUER,
        admin_jwt_audience="admins",
        admin_jwt_key_file=str(keys),
        admin_jwt_role_claim="gateway_role",
    )


async def test_an_administrators_token_says_org_team_and_role(with_issuer):
    presented = token(claims(aud="admins", gateway_role="operator"))
    who = await admit(with_issuer, presented)
    assert (who.role, who.name, who.expires_at) == (Role.OPERATOR, "jwt:ada", None)
    assert who.reach == Reach(org="acme", team="web")
    assert who.as_maker.may_set == SET_BY_DEFAULT
    assert not who.as_maker.may_act_for_others
    admin = await admit(with_issuer, token(claims(aud="admins", gateway_role="admin", team=None)))
    assert admin.reach == Reach(org="acme")
    assert admin.as_maker.may_set == SETTABLE
    assert (await admit(with_issuer, BEARER)).role is Role.ADMIN


async def test_a_callers_token_opens_no_admin_door(with_issuer, make_settings):
    with pytest.raises(GatewayError):
        await admit(with_issuer, token(claims(gateway_role="admin")))  # for another audience
    roleless = await admit(with_issuer, token(claims(aud="admins", role="admin")))
    assert roleless.role is Role.CALLER
    with pytest.raises(GatewayError):
        await admit(make_settings(), token(claims(aud="admins", gateway_role="admin")))


async def test_an_administrators_key_hands_on_nothing_that_outlives_it(make_settings):
    settings = make_settings()
    digest = make_sealer(settings).bearer_digest(BEARER)
    ends, retires = NOON + timedelta(days=9), NOON + timedelta(days=1)
    key = issued_key(
        KEY_ID, bearer_digest=digest, role=Role.ADMIN, expires_at=ends, revoked_at=retires
    )
    who = await AdminGate(settings, FakeKeyDirectory(key)).admit(BEARER, NOON)
    assert who.expires_at == retires
