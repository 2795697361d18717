from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authn.short_term_key import PREFIX, ShortTermKeyVerifier
from gateway.authn.sigv4_verifier import Sigv4Verifier
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON
from tests.fakes.issued_keys import FakeKeyDirectory, issued_key
from tests.fakes.short_term_keys import KEY_ID, mint

SKEW = timedelta(minutes=5)


def verifier(*keys):
    directory = FakeKeyDirectory(*(keys or [issued_key(KEY_ID)]))
    signatures = Sigv4Verifier(directory, allowed_regions=frozenset({"us-east-1", "eu-west-1"}))
    return ShortTermKeyVerifier(signatures, max_skew=SKEW)


async def refusal(token, *, now=NOON, by=None):
    with pytest.raises(GatewayError) as refused:
        await (by or verifier()).verify(token, now)
    return refused.value.reason


@pytest.mark.parametrize("session_token", [None, "a/session+token=="])
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_a_key_minted_by_the_stock_generator_is_verified(session_token, region):
    token = mint(session_token=session_token, region=region)
    key, signed_for = await verifier().verify(token, NOON)
    assert (key.key_id, signed_for) == (KEY_ID, region)


async def test_it_counts_until_it_expires():
    token = mint(expires=60)
    await verifier().verify(token, NOON + timedelta(seconds=59))
    assert await refusal(token, now=NOON + timedelta(seconds=60)) is Reason.CREDENTIAL_EXPIRED


async def test_one_from_the_future_does_not_count_yet():
    await verifier().verify(mint(at=NOON + SKEW), NOON)
    token = mint(at=NOON + SKEW + timedelta(seconds=1))
    assert await refusal(token) is Reason.CREDENTIAL_EXPIRED


@pytest.mark.parametrize("expires", [0, -1, 43201, 999999, "1e3", "", "\u0661"])
async def test_it_may_count_for_twelve_hours_at_most(expires):
    assert await refusal(mint(expires=expires)) is Reason.CREDENTIAL_MALFORMED


async def test_a_wrong_secret_and_an_unknown_key_are_refused_alike():
    assert await refusal(mint(secret="WRONG")) is Reason.SIGNATURE_INVALID
    assert await refusal(mint(key_id="AKIAUNKNOWN")) is Reason.SIGNATURE_INVALID


async def test_a_revoked_key_s_tokens_end_with_it():
    by = verifier(issued_key(KEY_ID, revoked_at=NOON))
    assert await refusal(mint(), by=by) is Reason.CREDENTIAL_UNKNOWN


async def test_it_must_be_for_bedrock_in_a_region_that_is_served():
    assert await refusal(mint(service="s3")) is Reason.SIGNATURE_INVALID
    assert await refusal(mint(region="mars-1")) is Reason.REGION_NOT_ALLOWED


def replaced(old, new):
    return lambda url: url.replace(old, new)


@pytest.mark.parametrize(
    "change",
    [
        replaced("Action=CallWithBearerToken", "Action=DeleteEverything"),
        replaced("&Version=1", ""),
        replaced("&Version=1", "&Version=2"),
        replaced("&Version=1", "&Version=1&Version=1"),
        replaced("&Version=1", "&Version=1&X=1"),
        replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        replaced("SignedHeaders=host", "SignedHeaders=host%3Bx"),
        replaced("%2F20261121%2F", "%2F20261120%2F"),
        replaced("X-Amz-Signature=", "X-Amz-Signature=0"),
        replaced("X-Amz-Date=2026", "X-Amz-Date=x026"),
    ],
)
async def test_another_form_is_malformed(change):
    assert await refusal(mint(change=change)) is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        replaced("bedrock.amazonaws.com/", "evil.example/"),
        replaced("bedrock.amazonaws.com/?", "bedrock.amazonaws.com/x?"),
        lambda _: "",
        lambda url: url + "x" * 9000,
    ],
)
async def test_a_signature_for_another_place_is_none_of_ours(change):
    assert await refusal(mint(change=change)) is Reason.CREDENTIAL_UNKNOWN


@pytest.mark.parametrize("rest", ["", "XYZ", "!!!!", "=", "YWJj", "\u00e4", "gICA"])
async def test_what_is_no_such_key_is_unknown(rest):
    assert await refusal(PREFIX + rest) is Reason.CREDENTIAL_UNKNOWN


async def test_a_change_of_any_character_of_what_is_signed_fails():
    url = base64.b64decode(mint().removeprefix(PREFIX)).decode()
    by = verifier()
    for i, character in enumerate(url):
        other = "7" if character != "7" else "8"
        changed = f"{url[:i]}{other}{url[i + 1 :]}".encode()
        await refusal(PREFIX + base64.b64encode(changed).decode(), by=by)


@given(st.binary(max_size=200))
async def test_no_bytes_break_the_verifier(content):
    for text in (content, b"bedrock.amazonaws.com/?" + content):
        await refusal(PREFIX + base64.b64encode(text).decode())
