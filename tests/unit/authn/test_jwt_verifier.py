from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from gateway.authn.jwt_verifier import ClaimNames, JwtVerifier
from gateway.domain.caller import CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import UNATTRIBUTED
from tests.fakes.clock import NOON
from tests.fakes.jwt_issuer import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    FakeVerificationKeys,
    claims,
    ec_key,
    ed_key,
    forged,
    jwk_of,
    key_set,
    rsa_key,
    token,
)

DOCUMENT = key_set(
    jwk_of(rsa_key(), "rsa"),
    jwk_of(rsa_key(), "rsa-only-256", alg="RS256"),
    jwk_of(ec_key(), "ec"),
    jwk_of(ec_key("P-384"), "ec384"),
    jwk_of(ed_key(), "ed"),
)


def verifier(keys=None, **changes):
    values = {"issuer": ISSUER, "audience": AUDIENCE, "claims": ClaimNames(), **changes}
    return JwtVerifier(keys or FakeVerificationKeys(DOCUMENT), **values)


async def refusal(presented, *, now=NOON, by=None):
    with pytest.raises(GatewayError) as refused:
        await (by or verifier()).verify(presented, now)
    return refused.value


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [
        (rsa_key(), "RS256", "rsa"),
        (rsa_key(), "RS384", "rsa"),
        (rsa_key(), "RS512", "rsa"),
        (rsa_key(), "PS256", "rsa"),
        (rsa_key(), "PS512", "rsa"),
        (rsa_key(), "RS256", "rsa-only-256"),
        (ec_key(), "ES256", "ec"),
        (ec_key("P-384"), "ES384", "ec384"),
        (ed_key(), "EdDSA", "ed"),
    ],
)
async def test_a_genuine_token_names_its_caller(key, algorithm, key_id):
    presented = token(key=key, algorithm=algorithm, key_id=key_id)
    caller = await verifier().verify(presented, NOON)
    assert (caller.org, caller.team, caller.user) == ("acme", "web", "ada")
    assert (caller.role, caller.credential) == (Role.CALLER, CredentialKind.JWT)
    assert caller.key_id.startswith("jwt-")


async def test_claims_are_mapped_by_name():
    names = ClaimNames(org="tenant", team="group", user="email", application="azp")
    presented = token(claims(tenant="t1", group="g1", email="ada@example.com", azp="chat"))
    caller = await verifier(claims=names).verify(presented, NOON)
    assert (caller.org, caller.team, caller.user) == ("t1", "g1", "ada@example.com")
    assert caller.application == "chat"


async def test_all_tokens_may_belong_to_one_fixed_organisation():
    names = ClaimNames(org=None, fixed_org="acme", team=None, user=None)
    caller = await verifier(claims=names).verify(token(claims(org="evil")), NOON)
    assert (caller.org, caller.team, caller.user) == ("acme", UNATTRIBUTED, None)


async def test_two_subjects_are_two_key_ids_and_one_subject_is_one():
    by = verifier()
    ada = await by.verify(token(), NOON)
    again = await by.verify(token(claims(jti="other")), NOON)
    bob = await by.verify(token(claims(sub="bob")), NOON)
    assert ada.key_id == again.key_id != bob.key_id


async def test_a_role_claim_makes_nobody_an_administrator():
    caller = await verifier().verify(token(claims(role="admin", roles=["admin"])), NOON)
    assert caller.role is Role.CALLER


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "sub"])
async def test_what_a_token_must_state(missing):
    error = await refusal(token(claims(**{missing: None})))
    assert error.reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another-service"},
        {"aud": ["a", "b"]},
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
    ],
)
async def test_a_token_of_another_issuer_or_for_another_audience_is_unknown(changed):
    assert (await refusal(token(claims(**changed)))).reason is Reason.CREDENTIAL_UNKNOWN


async def test_the_gateway_may_be_one_audience_among_several():
    await verifier().verify(token(claims(aud=["other", AUDIENCE])), NOON)


@pytest.mark.parametrize(
    ("changed", "passes"),
    [
        ({"exp": NOW_S - 59}, True),
        ({"exp": NOW_S - 60}, False),
        ({"exp": NOW_S - 86400}, False),
        ({"nbf": NOW_S + 60}, True),
        ({"nbf": NOW_S + 61}, False),
        ({"iat": NOW_S + 60}, True),
        ({"iat": NOW_S + 61}, False),
        ({"iat": NOW_S - 10**6}, True),
        ({"exp": NOW_S + 0.5}, True),
    ],
)
async def test_times_are_checked_against_the_clock_given_with_leeway(changed, passes):
    presented = token(claims(**changed))
    if passes:
        await verifier().verify(presented, NOON)
    else:
        assert (await refusal(presented)).reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ["soon", "1", True, [], {}, float("nan"), float("inf"), 10**400, -(10**400), 2**53]
)
async def test_a_time_that_is_no_time_is_malformed(name, value):
    assert (await refusal(token(claims(**{name: value})))).reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    "changed",
    [
        {"org": None},
        {"org": ""},
        {"org": "a/b"},
        {"org": 7},
        {"org": ["acme"]},
        {"team": "x" * 65},
        {"team": "a:b"},
        {"sub": "auth0|123"},
        {"sub": "{x}"},
        {"sub": "a\nb"},
        {"sub": 7},
    ],
)
async def test_a_claim_that_is_no_name_is_refused_rather_than_left_out(changed):
    assert (await refusal(token(claims(**changed)))).reason is Reason.CREDENTIAL_MALFORMED


def public_pem():
    return (
        rsa_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def with_hmac_of_public_key():
    import hashlib  # noqa: PLC0415 - of this attack only
    import hmac  # noqa: PLC0415 - of this attack only

    unsigned = forged({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, claims()).rpartition(".")[0]
    tag = hmac.digest(public_pem(), unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64url_encode(tag).decode()}"


RS256 = {"alg": "RS256", "typ": "JWT", "kid": "rsa"}
ATTACKS = {
    "no algorithm": forged({"alg": "none", "kid": "rsa"}, claims()),
    "no algorithm, in capitals": forged({"alg": "NONE", "kid": "rsa"}, claims()),
    "algorithm left out": forged({"kid": "rsa"}, claims()),
    "algorithm not text": forged({"alg": ["RS256"], "kid": "rsa"}, claims()),
    "public key as an HMAC secret": with_hmac_of_public_key(),
    "key by address": token(headers={"jku": "https://evil.example/keys"}),
    "certificate by address": token(headers={"x5u": "https://evil.example/cert"}),
    "key in the token": token(headers={"jwk": {"kty": "RSA"}}),
    "certificate in the token": token(headers={"x5c": ["AA=="]}),
    "critical extension": forged({**RS256, "crit": ["exp"], "exp": 1}, claims()),
    "unencoded payload": forged({**RS256, "b64": False, "crit": ["b64"]}, claims()),
    "compressed": forged({**RS256, "zip": "DEF"}, claims()),
    "encrypted": forged({"alg": "RSA-OAEP", "enc": "A256GCM"}, claims()),
    "key id not text": forged({**RS256, "kid": 7}, claims()),
    "key id too long": forged({**RS256, "kid": "x" * 257}, claims()),
    "of another type": token(headers={"typ": "dpop+jwt"}),
    "type not text": forged({**RS256, "typ": 7}, claims()),
    "header is no object": forged([], claims()),
    "header is no JSON": forged(b"eyJ", claims()),
    "too long": token(claims(padding="x" * 9000)),
    "two parts": "eyJhbGciOiJSUzI1NiJ9.e30",
    "five parts": "eyJ.a.b.c.d",
    "not base64": "eyJ!.@.#",
    "empty": "",
    "algorithm of another key type": token(key=ec_key(), algorithm="ES256", key_id="rsa"),
    "algorithm the key is not for": token(algorithm="RS512", key_id="rsa-only-256"),
    "payload is no object": forged(RS256, [], b"x"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_an_attack_is_refused(attack):
    error = await refusal(attack)
    assert error.reason in {Reason.CREDENTIAL_MALFORMED, Reason.SIGNATURE_INVALID}


@pytest.mark.parametrize(
    "attack", ["key by address", "key in the token", "no algorithm", "too long"]
)
async def test_such_an_attack_is_refused_before_any_key_is_looked_up(attack):
    keys = FakeVerificationKeys(DOCUMENT)
    await refusal(ATTACKS[attack], by=verifier(keys))
    assert keys.asked == []


async def test_a_token_signed_with_another_key_does_not_match():
    presented = token(key=rsa_key(3072))
    assert (await refusal(presented)).reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_change_of_any_part_fails(part):
    parts = token().split(".")
    for i in range(0, len(parts[part]) - 1, 3):
        flipped = "A" if parts[part][i] != "A" else "B"
        changed = parts[part][:i] + flipped + parts[part][i + 1 :]
        await refusal(".".join([*parts[:part], changed, *parts[part + 1 :]]))


@pytest.mark.parametrize("key_id", ["unknown", "../../etc/passwd", "' OR 1=1", None])
async def test_a_key_the_issuer_does_not_have_makes_the_token_unknown(key_id):
    assert (await refusal(token(key_id=key_id))).reason is Reason.CREDENTIAL_UNKNOWN


async def test_a_token_may_name_no_key_if_there_is_only_one():
    keys = FakeVerificationKeys(key_set(jwk_of(rsa_key(), "rsa")))
    await verifier(keys).verify(token(key_id=None), NOON)


async def test_if_the_issuer_s_keys_cannot_be_known_that_is_said():
    keys = FakeVerificationKeys(DOCUMENT)
    keys.is_available = False
    assert (await refusal(token(), by=verifier(keys))).reason is Reason.KEYS_UNAVAILABLE


async def test_a_verified_token_is_remembered_for_a_while():
    keys = FakeVerificationKeys(DOCUMENT)
    by = verifier(keys, remember_s=300)
    presented = token(claims(exp=NOW_S + 3600))
    first = await by.verify(presented, NOON)
    assert await by.verify(presented, NOON + timedelta(seconds=299)) is first
    assert len(keys.asked) == 1
    await by.verify(presented, NOON + timedelta(seconds=300))
    assert len(keys.asked) == 2


async def test_a_remembered_token_still_expires():
    by = verifier(leeway_s=0)
    presented = token(claims(exp=NOW_S + 10))
    await by.verify(presented, NOON)
    late = NOON + timedelta(seconds=10)
    assert (await refusal(presented, now=late, by=by)).reason is Reason.CREDENTIAL_EXPIRED


async def test_a_withdrawn_issuer_key_stops_counting_when_it_is_forgotten():
    keys = FakeVerificationKeys(DOCUMENT)
    by = verifier(keys, remember_s=300)
    presented = token(claims(exp=NOW_S + 3600))
    await by.verify(presented, NOON)
    keys.keys = {}
    late = NOON + timedelta(seconds=301)
    assert (await refusal(presented, now=late, by=by)).reason is Reason.CREDENTIAL_UNKNOWN


async def test_tokens_with_a_long_common_prefix_are_not_taken_for_each_other():
    by = verifier()
    long_name = {"padding": "x" * 400}
    ada = await by.verify(token({**long_name, **claims(sub="ada")}), NOON)
    bob = await by.verify(token({**long_name, **claims(sub="bob")}), NOON)
    assert (ada.user, bob.user) == ("ada", "bob")


async def test_the_memory_is_bounded_and_refused_tokens_take_none_of_it():
    keys = FakeVerificationKeys(DOCUMENT)
    by = verifier(keys, capacity=2)
    first = token(claims(jti="1"))
    await by.verify(first, NOON)
    for i in range(5):
        await refusal(token(claims(jti=str(i), aud="other")), by=by)
    asked = len(keys.asked)
    await by.verify(first, NOON)
    assert len(keys.asked) == asked
    for i in (2, 3):
        await by.verify(token(claims(jti=str(i))), NOON)
    await by.verify(first, NOON)
    assert len(keys.asked) == asked + 3


@given(st.text(st.characters(max_codepoint=0x7F)))
async def test_no_text_breaks_the_verifier(text):
    for presented in (text, f"eyJhbGciOiJSUzI1NiJ9.{text}.x", f"eyJ{text}.a.b"):
        await refusal(presented)


async def test_no_refusal_repeats_the_token():
    presented = token(key=rsa_key(3072))
    error = await refusal(presented)
    assert presented.rpartition(".")[2] not in f"{error} {error.detail}"


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        ("admin", Role.ADMIN),
        ("viewer", Role.VIEWER),
        (["offline_access", "operator"], Role.OPERATOR),
        (["viewer", "admin"], Role.CALLER),
        ("Admin", Role.CALLER),
        ("root", Role.CALLER),
        ({"admin": True}, Role.CALLER),
        (True, Role.CALLER),
        (None, Role.CALLER),
        ([["admin"]], Role.CALLER),
    ],
)
async def test_a_role_is_read_from_the_claim_that_is_named_and_no_guess_is_made(claim, role):
    presented = token(claims(role=claim))
    by = verifier(claims=ClaimNames(role="role"))
    assert (await by.verify(presented, NOON)).role is role
    assert (await verifier().verify(presented, NOON)).role is Role.CALLER
