from __future__ import annotations

import pytest

from gateway.authn.presented import (
    PresentedRequest,
    SignedCredential,
    TokenCredential,
    credential_of,
)
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

SIGNATURE = "AWS4-HMAC-SHA256 Credential=…"


def presented(*headers, raw_query=""):
    return PresentedRequest(
        method="POST",
        raw_path="/model/x/converse",
        raw_query=raw_query,
        headers=headers,
        body_sha256="0" * 64,
        host="h",
    )


def refusal_of(*headers, raw_query=""):
    with pytest.raises(GatewayError) as refused:
        credential_of(presented(*headers, raw_query=raw_query))
    return refused.value.reason


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (("Authorization", SIGNATURE), SignedCredential(SIGNATURE)),
        (("authorization", "Bearer abc"), TokenCredential("abc")),
        (("AUTHORIZATION", "bearer  abc "), TokenCredential("abc")),
        (("X-Api-Key", " abc"), TokenCredential("abc")),
    ],
)
def test_one_credential_is_recognised_by_its_header_and_scheme(header, credential):
    assert credential_of(presented(("host", "h"), header)) == credential


def test_a_request_without_a_credential_is_told_so():
    assert refusal_of(("host", "h")) is Reason.CREDENTIAL_MISSING


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", SIGNATURE), ("authorization", "Bearer abc")],
        [("Authorization", "Bearer abc"), ("Authorization", "Bearer abc")],
        [("Authorization", "Bearer abc"), ("x-api-key", "abc")],
        [("x-api-key", "abc"), ("X-API-KEY", "abc")],
    ],
)
def test_which_of_two_credentials_counts_is_nobody_s_choice(headers):
    assert refusal_of(*headers) is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "raw_query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "a=1&X-Amz-Signature=0",
        "x-amz-credential=a",
        "X%2DAmz%2DSignature=0",
    ],
)
def test_a_signature_in_the_query_is_refused_alone_and_with_another(raw_query):
    assert refusal_of(raw_query=raw_query) is Reason.CREDENTIAL_MALFORMED
    both = refusal_of(("Authorization", SIGNATURE), raw_query=raw_query)
    assert both is Reason.CREDENTIAL_MALFORMED
    assert refusal_of(("x-api-key", "a"), raw_query=raw_query) is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic dTpw",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,b",
        "Bearer ä",
        "AWS4-ECDSA-P256-SHA256 Credential=…",
        "AWS4-HMAC-SHA512 Credential=…",
        "aws4-hmac-sha256 Credential=…",
        "Negotiate x",
    ],
)
def test_every_other_scheme_is_refused(value):
    assert refusal_of(("authorization", value)) is Reason.CREDENTIAL_MALFORMED


def test_a_header_that_only_looks_like_a_credential_is_none():
    lookalikes = [("X_Api_Key", "abc"), ("authorization2", "Bearer abc"), ("x-user", "root")]
    assert refusal_of(*lookalikes) is Reason.CREDENTIAL_MISSING


@pytest.mark.parametrize(
    ("token", "looks"),
    [
        ("eyJhbGciOiJub25lIn0.e30.", True),
        ("eyJ.a.b.c", False),
        ("bgk-AKIA-x", False),
        ("a.b.c", False),
    ],
)
def test_a_jwt_is_told_from_a_key_by_its_form(token, looks):
    assert TokenCredential(token).looks_like_jwt is looks


def test_no_secret_is_in_a_repr():
    request = presented(("Authorization", "Bearer secret-token"))
    assert "secret-token" not in repr(request)
    assert "secret-token" not in repr(credential_of(request))
