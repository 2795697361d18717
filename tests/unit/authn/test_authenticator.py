from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.authn.authenticator import Authenticator, PresentedRequest
from gateway.authn.jwt_verifier import ClaimNames, JwtVerifier
from gateway.authn.key_format import bearer_key
from gateway.bedrock.sigv4 import RequestToSign, sign
from gateway.domain.caller import CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from tests.fakes.captured_requests import CAPTURED
from tests.fakes.clock import NOON
from tests.fakes.issued_keys import FakeKeyDirectory, digest, issued_key
from tests.fakes.jwt_issuer import (
    AUDIENCE,
    ISSUER,
    FakeVerificationKeys,
    jwk_of,
    key_set,
    rsa_key,
    token,
)
from tests.fakes.short_term_keys import mint

CALLER_ID, ADMIN_ID = KeyId("AKIA" + "A" * 16), KeyId("AKIA" + "B" * 16)
CALLER_TOKEN = bearer_key(CALLER_ID, bytes(32))
ADMIN_TOKEN = bearer_key(ADMIN_ID, bytes(32))
KEYS = FakeKeyDirectory(
    issued_key(CALLER_ID, bearer=CALLER_TOKEN),
    issued_key(ADMIN_ID, bearer=ADMIN_TOKEN, role=Role.ADMIN, secret="ADMIN-SECRET"),
)


def authenticator(**changes):
    values = {"digest": digest, "allowed_regions": frozenset({"us-east-1"}), **changes}
    return Authenticator(KEYS, **values)


def jwt_verifier():
    keys = FakeVerificationKeys(key_set(jwk_of(rsa_key(), "rsa")))
    return JwtVerifier(keys, issuer=ISSUER, audience=AUDIENCE, claims=ClaimNames())


def presented(*headers):
    return PresentedRequest(
        method="POST",
        raw_path="/model/a.b/converse",
        raw_query="",
        headers=[("Host", "h"), *headers],
        body_sha256=sha256(b"").hexdigest(),
        host="h",
    )


def signed_by(key_id, secret):
    request = presented()
    added = sign(
        RequestToSign(
            method="POST",
            raw_path=request.raw_path,
            raw_query="",
            headers=request.headers,
            body_sha256=request.body_sha256,
        ),
        access_key=key_id,
        secret=secret,
        region="us-east-1",
        service="bedrock",
        at=NOON,
    )
    return presented(*added)


async def refusal(awaitable):
    with pytest.raises(GatewayError) as refused:
        await awaitable
    return refused.value


async def test_a_signature_tells_caller_region_and_what_it_covers():
    proof = await authenticator().authenticate(signed_by(CALLER_ID, "SECRET"), NOON)
    assert proof.caller.key_id == CALLER_ID
    assert proof.caller.credential is CredentialKind.SIGV4
    assert proof.region == "us-east-1"
    assert proof.signed_headers == {"host", "x-amz-date"}


@pytest.mark.parametrize(
    "header",
    [("Authorization", f"Bearer {CALLER_TOKEN}"), ("x-api-key", CALLER_TOKEN)],
)
async def test_a_bearer_key_tells_the_caller_and_no_region(header):
    proof = await authenticator().authenticate(presented(header), NOON)
    assert proof.caller.credential is CredentialKind.BEARER_KEY
    assert (proof.region, proof.signed_headers) == (None, None)


async def test_a_token_of_the_issuer_tells_the_caller():
    by = authenticator(jwt=jwt_verifier())
    proof = await by.authenticate(presented(("authorization", f"Bearer {token()}")), NOON)
    assert (proof.caller.credential, proof.caller.user) == (CredentialKind.JWT, "ada")


async def test_a_bearer_key_works_beside_tokens():
    by = authenticator(jwt=jwt_verifier())
    proof = await by.authenticate(presented(("x-api-key", CALLER_TOKEN)), NOON)
    assert proof.caller.key_id == CALLER_ID


async def test_a_short_term_key_tells_caller_and_region():
    request = presented(("authorization", f"Bearer {mint(key_id=CALLER_ID)}"))
    proof = await authenticator().authenticate(request, NOON)
    assert (proof.caller.key_id, proof.region) == (CALLER_ID, "us-east-1")
    assert proof.signed_headers is None


async def test_a_short_term_key_of_an_administrator_calls_no_model():
    token_of_admin = mint(key_id=ADMIN_ID, secret="ADMIN-SECRET")
    request = presented(("authorization", f"Bearer {token_of_admin}"))
    error = await refusal(authenticator().authenticate(request, NOON))
    assert error.reason is Reason.ROLE_NOT_ALLOWED


async def test_without_an_issuer_a_token_is_an_unknown_key():
    request = presented(("authorization", f"Bearer {token()}"))
    error = await refusal(authenticator().authenticate(request, NOON))
    assert error.reason is Reason.CREDENTIAL_UNKNOWN


@pytest.mark.parametrize(
    "request_",
    [
        presented(("x-api-key", ADMIN_TOKEN)),
        signed_by(ADMIN_ID, "ADMIN-SECRET"),
    ],
)
async def test_only_the_caller_role_calls_bedrock(request_):
    error = await refusal(authenticator().authenticate(request_, NOON))
    assert error.reason is Reason.ROLE_NOT_ALLOWED
    assert "admin" in error.detail


async def test_nobody_is_told_a_role_without_the_key():
    request = signed_by(ADMIN_ID, "guess")
    error = await refusal(authenticator().authenticate(request, NOON))
    assert error.reason is Reason.SIGNATURE_INVALID


async def test_no_credential_at_all_is_told_so():
    error = await refusal(authenticator().authenticate(presented(), NOON))
    assert error.reason is Reason.CREDENTIAL_MISSING


async def test_claimed_identity_in_other_headers_counts_for_nothing():
    spoofed = [("x-user", "root"), ("x-gateway-application", "billing"), ("x-forwarded-user", "r")]
    proof = await authenticator().authenticate(
        presented(("x-api-key", CALLER_TOKEN), *spoofed), NOON
    )
    assert (proof.caller.user, proof.caller.application) == ("ada", None)


async def test_made_up_tokens_of_captured_clients_are_unknown():
    bearers = [captured for captured in CAPTURED if captured.authorization.startswith("Bearer ")]
    assert len(bearers) > 15
    for captured in bearers:
        request = PresentedRequest(
            method=captured.method,
            raw_path=captured.raw_path,
            raw_query=captured.raw_query,
            headers=captured.headers,
            body_sha256=captured.body_sha256,
            host=captured.host,
        )
        error = await refusal(authenticator().authenticate(request, NOON))
        assert error.reason is Reason.CREDENTIAL_UNKNOWN
