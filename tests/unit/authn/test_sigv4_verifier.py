from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authn.presented import PresentedRequest
from gateway.authn.sigv4_verifier import Sigv4Verifier
from gateway.bedrock.sigv4 import CanonicalRules, RequestToSign, sign
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.captured_requests import ACCESS_KEY, SIGNED, VERIFIABLE
from tests.fakes.clock import NOON
from tests.fakes.issued_keys import FakeKeyDirectory, issued_key

KEYS = FakeKeyDirectory(issued_key(ACCESS_KEY))
REGIONS = frozenset({"us-east-1", "eu-west-1"})
BODY = b'{"messages": []}'


def verifier(keys=KEYS, **changes):
    return Sigv4Verifier(keys, allowed_regions=REGIONS, **changes)


VERIFIER = verifier()


def as_presented(captured, **changes):
    values = {
        "method": captured.method,
        "raw_path": captured.raw_path,
        "raw_query": captured.raw_query,
        "headers": captured.headers,
        "body_sha256": captured.body_sha256,
        "host": captured.host,
    }
    return PresentedRequest(**{**values, **changes})


def signed(extra=(), *, at=NOON, body=BODY, sign_with=None, host="gateway:8080", **changes):
    """A request signed by our own signer, as one may be mutated afterwards."""
    values = {
        "access_key": ACCESS_KEY,
        "secret": "SECRET",
        "region": "us-east-1",
        "service": "bedrock",
        "at": at,
        **(sign_with or {}),
    }
    headers = [("Host", host), ("Content-Type", "application/json"), *extra]
    digest = sha256(body).hexdigest()
    to_sign = RequestToSign(
        method="POST",
        raw_path="/model/a.b-v1%3A0/converse",
        raw_query="",
        headers=headers,
        body_sha256=digest,
    )
    request = PresentedRequest(
        method="POST",
        raw_path=to_sign.raw_path,
        raw_query="",
        headers=[*headers, *sign(to_sign, **values)],
        body_sha256=digest,
        host=host,
    )
    return replace(request, **changes)


def authorization_of(request):
    return next(value for name, value in request.headers if name.lower() == "authorization")


def without(request, dropped):
    return [(n, v) for n, v in request.headers if n.lower() != dropped]


async def refusal(request, *, now=NOON, by=VERIFIER, authorization=None):
    with pytest.raises(GatewayError) as refused:
        await by.verify(request, authorization or authorization_of(request), now)
    return refused.value


@pytest.mark.parametrize("captured", VERIFIABLE, ids=str)
async def test_every_captured_client_verifies(captured):
    key, claimed = await VERIFIER.verify(
        as_presented(captured), captured.authorization, captured.signed_at
    )
    assert key.key_id == ACCESS_KEY
    assert claimed.region == "us-east-1"


async def test_requests_that_sign_a_stream_are_refused():
    streams = [captured for captured in SIGNED if captured.signs_a_stream]
    assert len(streams) == 2
    for captured in streams:
        error = await refusal(
            as_presented(captured),
            now=captured.signed_at,
            authorization=captured.authorization,
        )
        assert error.reason is Reason.SIGNATURE_INVALID
        assert "STREAMING" in error.detail


async def test_the_request_whose_endpoint_holds_a_space_is_refused():
    # Why it cannot verify: tests/fakes/captured_requests.py, has_space_in_endpoint.
    (captured,) = (request for request in SIGNED if request.has_space_in_endpoint)
    error = await refusal(
        as_presented(captured), now=captured.signed_at, authorization=captured.authorization
    )
    assert error.reason is Reason.SIGNATURE_INVALID


def another(character):
    return "x" if character != "x" else "y"


def mutations_of(captured):
    """The captured request, changed in one place at a time."""
    whole = as_presented(captured)
    for method in ("GET", "POST", "PUT", "post"):
        if method != captured.method:
            yield replace(whole, method=method)
    path = captured.raw_path
    for i, character in enumerate(path):
        yield replace(whole, raw_path=path[:i] + another(character) + path[i + 1 :])
        yield replace(whole, raw_path=path[:i] + path[i + 1 :])
        yield replace(whole, raw_path=path[:i] + "/" + path[i:])
    yield replace(whole, raw_path=path.replace("%3A", ":").replace("%2F", "%2f") + "/")
    yield replace(whole, raw_query=captured.raw_query + "&added=1")
    signed_names = captured.authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    for i, (name, value) in enumerate(captured.headers):
        if name.lower() in signed_names and name.lower() not in {"host", "x-amz-date"}:
            for at, character in enumerate(value):
                changed = value[:at] + another(character) + value[at + 1 :]
                headers = [*captured.headers[:i], (name, changed), *captured.headers[i + 1 :]]
                yield replace(whole, headers=headers)
            yield replace(whole, headers=[*captured.headers, (name, value)])
            yield replace(whole, headers=[*captured.headers[:i], *captured.headers[i + 1 :]])
    for i, character in enumerate(captured.host):
        yield replace(whole, host=captured.host[:i] + another(character) + captured.host[i + 1 :])
    for i in range(len(captured.body or b"")):
        body = bytearray(captured.body)
        body[i] ^= 1
        yield replace(whole, body_sha256=sha256(body).hexdigest())


@pytest.mark.parametrize("captured", VERIFIABLE, ids=str)
async def test_a_change_of_method_path_query_signed_header_or_body_fails(captured):
    by, count = verifier(), 0
    for mutated in mutations_of(captured):
        error = await refusal(
            mutated, now=captured.signed_at, by=by, authorization=captured.authorization
        )
        assert error.reason in {Reason.SIGNATURE_INVALID, Reason.CREDENTIAL_MALFORMED}
        count += 1
    assert count > 50


@pytest.mark.parametrize("captured", VERIFIABLE, ids=str)
async def test_a_change_of_any_character_of_the_authorization_fails(captured):
    for i, character in enumerate(captured.authorization):
        changed = captured.authorization[:i] + another(character) + captured.authorization[i + 1 :]
        await refusal(as_presented(captured), now=captured.signed_at, authorization=changed)


async def test_another_timestamp_within_the_skew_fails():
    request = signed()
    later = (NOON + timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")
    moved = replace(request, headers=[*without(request, "x-amz-date"), ("x-amz-date", later)])
    assert (await refusal(moved)).reason is Reason.SIGNATURE_INVALID


@given(
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20),
    body=st.binary(max_size=50),
    value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
)
def test_no_other_path_body_or_header_fits_a_signature(path, body, value):
    request = signed([("x-signed", "value")], body=BODY)
    headers = [(n, value if n == "x-signed" else v) for n, v in request.headers]
    for changed in (
        replace(request, raw_path=f"/{path}"),
        replace(request, body_sha256=sha256(body).hexdigest()),
        replace(request, headers=headers),
    ):
        if body != BODY and value.strip() != "value":
            error = asyncio.run(refusal(changed))
            assert error.reason is Reason.SIGNATURE_INVALID


async def test_an_unsigned_header_may_change_and_is_reported_as_unsigned():
    request = signed()
    added = replace(request, headers=[*request.headers, ("x-amzn-bedrock-service-tier", "flex")])
    _, claimed = await VERIFIER.verify(added, authorization_of(request), NOON)
    assert "x-amzn-bedrock-service-tier" not in claimed.signed_headers


@pytest.mark.parametrize("minutes", [-5, -1, 0, 1, 5])
async def test_five_minutes_either_way_are_within_the_skew(minutes):
    request = signed(at=NOON + timedelta(minutes=minutes))
    await VERIFIER.verify(request, authorization_of(request), NOON)


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (
            timedelta(minutes=-5, seconds=-1),
            (
                "Signature expired: 20261121T115459Z is now earlier than 20261121T115500Z "
                "(20261121T120000Z - 5 min.)"
            ),
        ),
        (
            timedelta(minutes=5, seconds=1),
            (
                "Signature not yet current: 20261121T120501Z is still later than 20261121T120500Z "
                "(20261121T120000Z + 5 min.)"
            ),
        ),
        (timedelta(days=-400), "Signature expired: "),
        (timedelta(days=4000), "Signature not yet current: "),
    ],
)
async def test_a_signature_of_another_time_is_refused_in_aws_s_words(off, words):
    error = await refusal(signed(at=NOON + off))
    assert error.reason is Reason.SIGNATURE_EXPIRED
    assert error.detail.startswith(words)


async def test_the_day_of_the_scope_must_be_that_of_the_timestamp():
    request = signed()
    claimed = authorization_of(request).replace("/20261121/", "/20261120/")
    error = await refusal(request, authorization=claimed)
    assert error.reason is Reason.SIGNATURE_INVALID
    assert "date" in error.detail


async def test_a_signature_just_before_midnight_is_verified_just_after():
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    request = signed(at=midnight - timedelta(seconds=5))
    await VERIFIER.verify(request, authorization_of(request), midnight + timedelta(seconds=5))


@pytest.mark.parametrize(
    ("date", "passes"),
    [
        ("Sat, 21 Nov 2026 12:00:01 GMT", True),
        ("Sat, 21 Nov 2026 13:00:01 +0100", True),
        ("Sat, 21 Nov 2026 12:00:01", True),
        ("Sat, 21 Nov 2026 13:00:00 GMT", False),
        ("yesterday", False),
        ("Sat, 21 Nov 99999 12:00:00 GMT", False),
    ],
)
async def test_a_date_header_must_not_contradict_the_timestamp(date, passes):
    request = signed([("Date", date)])
    if passes:
        await VERIFIER.verify(request, authorization_of(request), NOON)
    else:
        assert (await refusal(request)).reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "timestamp",
    [
        "20261121T12000Z",
        "2026-11-21T12:00:00Z",
        "20261121 120000Z",
        "20261121T120000z",
        "20261321T120000Z",
        "20261121T250000Z",
        "20261121T12+000Z",
        "\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0661T120000Z",
        "",
    ],
)
async def test_a_timestamp_of_another_form_is_refused(timestamp):
    request = signed()
    moved = replace(request, headers=[*without(request, "x-amz-date"), ("x-amz-date", timestamp)])
    assert (await refusal(moved)).reason is Reason.CREDENTIAL_MALFORMED


async def test_a_timestamp_is_needed_once():
    request = signed()
    dropped = replace(request, headers=without(request, "x-amz-date"))
    doubled = replace(request, headers=[*request.headers, ("X-Amz-Date", "20261121T120000Z")])
    for changed in (dropped, doubled):
        assert (await refusal(changed)).reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize("service", ["bedrock", "bedrock-mantle"])
async def test_both_service_names_of_bedrock_are_taken(service):
    request = signed(sign_with={"service": service})
    await VERIFIER.verify(request, authorization_of(request), NOON)


async def test_a_signature_for_another_service_is_refused():
    error = await refusal(signed(sign_with={"service": "s3"}))
    assert error.reason is Reason.SIGNATURE_INVALID
    assert "bedrock" in error.detail


async def test_the_services_are_a_parameter():
    request = signed(sign_with={"service": "service"})
    by = verifier(services=frozenset({"service"}))
    await by.verify(request, authorization_of(request), NOON)


async def test_how_a_path_becomes_canonical_is_a_parameter():
    request = signed()
    detour = replace(request, raw_path="/model/./x/../a.b-v1%3A0//converse")
    assert (await refusal(detour)).reason is Reason.SIGNATURE_INVALID
    by = verifier(rules=CanonicalRules(normalize_path=True))
    await by.verify(detour, authorization_of(request), NOON)


async def test_a_region_that_is_not_served_is_refused_before_any_key_is_looked_up():
    keys = FakeKeyDirectory()
    error = await refusal(signed(sign_with={"region": "mars-1"}), by=verifier(keys))
    assert error.reason is Reason.REGION_NOT_ALLOWED
    assert "eu-west-1, us-east-1" in error.detail
    assert keys.asked == []


async def test_host_and_timestamp_must_be_signed():
    request = signed()
    for name in ("host", "x-amz-date"):
        claimed = authorization_of(request).replace(f"{name};", "").replace(f";{name}", "")
        error = await refusal(request, authorization=claimed)
        assert error.reason is Reason.CREDENTIAL_MALFORMED
        assert "must be a signed header" in error.detail


@pytest.mark.parametrize("name", ["x-amz-security-token", "X-Amz-Content-Sha256"])
async def test_what_decides_the_meaning_of_a_signature_must_be_signed_if_sent(name):
    request = signed()
    added = replace(request, headers=[*request.headers, (name, sha256(BODY).hexdigest())])
    error = await refusal(added)
    assert error.reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "stated",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        sha256(b"another body").hexdigest(),
        sha256(BODY).hexdigest().upper(),
        "",
    ],
)
async def test_a_stated_body_hash_must_be_the_body_s(stated):
    request = signed([("x-amz-content-sha256", stated)])
    assert (await refusal(request)).reason is Reason.SIGNATURE_INVALID


async def test_an_unsigned_payload_cannot_be_smuggled_in_as_the_canonical_hash():
    request = signed([("x-amz-content-sha256", "UNSIGNED-PAYLOAD")])
    claimed = authorization_of(request)
    tampered = replace(request, body_sha256=sha256(b"tampered").hexdigest())
    assert (await refusal(tampered, authorization=claimed)).reason is Reason.SIGNATURE_INVALID


async def test_a_session_token_is_taken_if_signed_and_means_nothing():
    request = signed(sign_with={"session_token": "TOK"})
    key, _ = await VERIFIER.verify(request, authorization_of(request), NOON)
    assert key.key_id == ACCESS_KEY


async def test_an_unknown_key_and_a_wrong_secret_are_refused_alike():
    wrong_secret = await refusal(signed(sign_with={"secret": "WRONG"}))
    unknown = await refusal(signed(sign_with={"access_key": "AKIAUNKNOWN"}))
    assert (unknown.reason, unknown.detail) == (wrong_secret.reason, wrong_secret.detail)
    assert unknown.reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("secret", ["", "0" * 40])
async def test_an_unknown_key_verifies_under_no_secret_not_even_its_stand_in(secret):
    request = signed(sign_with={"access_key": "AKIAUNKNOWN", "secret": secret})
    assert (await refusal(request)).reason is Reason.SIGNATURE_INVALID


async def test_an_unknown_key_costs_the_same_steps_as_a_known_one(monkeypatch):
    hashed = []

    def counting(_request, _claimed, secret, **_):
        hashed.append(secret)
        return "0" * 64

    monkeypatch.setattr("gateway.authn.sigv4_verifier.signature_of", counting)
    for access_key in (ACCESS_KEY, "AKIAUNKNOWN"):
        await refusal(signed(sign_with={"access_key": access_key}))
    assert hashed == ["SECRET", "0" * 40]


async def test_only_who_knows_the_secret_learns_that_a_key_has_ended():
    expired = issued_key("AKIAEXPIRED", expires_at=NOON)
    revoked = issued_key("AKIAREVOKED", revoked_at=NOON)
    by = verifier(FakeKeyDirectory(expired, revoked))
    for key, reason in (
        (expired, Reason.CREDENTIAL_EXPIRED),
        (revoked, Reason.CREDENTIAL_UNKNOWN),
    ):
        owner = signed(sign_with={"access_key": key.key_id})
        guesser = signed(sign_with={"access_key": key.key_id, "secret": "guess"})
        assert (await refusal(owner, by=by)).reason is reason
        assert (await refusal(guesser, by=by)).reason is Reason.SIGNATURE_INVALID


async def test_if_keys_cannot_be_known_that_is_said():
    keys = FakeKeyDirectory()
    keys.is_available = False
    assert (await refusal(signed(), by=verifier(keys))).reason is Reason.KEYS_UNAVAILABLE


async def test_the_same_request_may_come_twice():
    request = signed()
    for _ in range(2):
        await VERIFIER.verify(request, authorization_of(request), NOON)


async def test_a_forwarded_host_in_the_headers_changes_nothing():
    request = signed()
    added = replace(request, headers=[*request.headers, ("X-Forwarded-Host", "evil")])
    await VERIFIER.verify(added, authorization_of(request), NOON)


async def test_the_host_a_trusted_front_received_is_the_one_signed():
    request = signed(host="public.example")
    inside = [(n, "10.0.0.1:8080" if n == "Host" else v) for n, v in request.headers]
    fronted = replace(request, headers=inside, host="public.example")
    await VERIFIER.verify(fronted, authorization_of(request), NOON)
    assert (await refusal(replace(fronted, host="10.0.0.1:8080"))).reason is (
        Reason.SIGNATURE_INVALID
    )
