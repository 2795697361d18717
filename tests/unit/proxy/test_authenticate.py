from dataclasses import replace

import pytest

from gateway.authn.authenticator import Authenticator
from gateway.domain.caller import CredentialKind
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.authenticate import Authenticate
from tests.fakes.calls import bedrock_call
from tests.fakes.captured_requests import ACCESS_KEY, VERIFIABLE
from tests.fakes.clock import FakeClock
from tests.fakes.data_plane import BEARER, KEY_ID
from tests.fakes.issued_keys import FakeKeyDirectory, digest, issued_key

CAPTURED = next(
    request
    for request in VERIFIABLE
    if request.method == "POST" and request.target.endswith("/converse") and request.body
)


def stage(*keys, now=None):
    authenticator = Authenticator(
        FakeKeyDirectory(*keys),
        digest=digest,
        allowed_regions=frozenset({"us-east-1", "us-west-2", "eu-central-1"}),
    )
    clock = FakeClock(now) if now else FakeClock()
    return Authenticate(authenticator, clock, home_region="eu-central-1")


def captured_call(**changes):
    call = replace(
        bedrock_call(path=CAPTURED.raw_path, query=CAPTURED.raw_query, body=CAPTURED.body),
        headers=CAPTURED.headers,
        host=CAPTURED.host,
    )
    return replace(call, **changes)


async def test_a_real_clients_signature_names_the_caller_the_region_and_what_it_covers():
    authenticate = stage(issued_key(ACCESS_KEY), now=CAPTURED.signed_at)
    found = await authenticate(captured_call())
    assert (found.caller.user, found.caller.credential) == ("ada", CredentialKind.SIGV4)
    assert found.region == CAPTURED.authorization.split("/")[2]
    assert "host" in found.signed_headers


@pytest.mark.parametrize(
    "change",
    [
        {"body_sha256": "0" * 64},
        {"raw_path": CAPTURED.raw_path.replace("converse", "invoke")},
        {"method": "GET"},
        {"host": "evil.test", "headers": (*CAPTURED.headers[:0], ("Host", "evil.test"))},
    ],
)
async def test_a_changed_request_has_no_caller(change):
    authenticate = stage(issued_key(ACCESS_KEY), now=CAPTURED.signed_at)
    with pytest.raises(GatewayError) as refused:
        await authenticate(captured_call(**change))
    assert refused.value.reason in (Reason.SIGNATURE_INVALID, Reason.CREDENTIAL_MISSING)


async def test_a_credential_without_a_region_goes_to_the_home_region():
    authenticate = stage(issued_key(KEY_ID, bearer=BEARER))
    headers = (("Authorization", f"Bearer {BEARER}"),)
    found = await authenticate(bedrock_call(headers=headers))
    assert (found.region, found.signed_headers) == ("eu-central-1", None)
    assert found.caller.key_id == KEY_ID


async def test_nobody_is_no_caller():
    with pytest.raises(GatewayError) as refused:
        await stage()(bedrock_call())
    assert refused.value.reason is Reason.CREDENTIAL_MISSING
