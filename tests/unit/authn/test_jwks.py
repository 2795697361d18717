from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gateway.authn.jwks import ALGORITHMS, parse_key_set
from tests.fakes.jwt_issuer import ec_key, ed_key, jwk_of, key_set, rsa_key


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (
            jwk_of(rsa_key(), "k"),
            {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        ),
        (jwk_of(rsa_key(), "k", alg="RS256", use="sig"), {"RS256"}),
        (jwk_of(ec_key(), "k"), {"ES256"}),
        (jwk_of(ec_key("P-384"), "k"), {"ES384"}),
        (jwk_of(ed_key(), "k"), {"EdDSA"}),
        (jwk_of(ed_key(), "k", key_ops=["verify"]), {"EdDSA"}),
    ],
)
def test_a_key_is_bound_to_the_algorithms_of_its_type(entry, algorithms):
    key = parse_key_set(key_set(entry))["k"]
    assert key.algorithms == algorithms
    assert key.algorithms <= ALGORITHMS


def test_no_symmetric_algorithm_is_ever_accepted():
    assert not {name for name in ALGORITHMS if name.startswith(("HS", "none"))}


@pytest.mark.parametrize(
    "useless",
    [
        jwk_of(rsa_key(), "e", use="enc"),
        jwk_of(rsa_key(), "e", key_ops=["encrypt"]),
        jwk_of(rsa_key(), "e", alg="HS256"),
        jwk_of(rsa_key(), "e", alg="RSA-OAEP"),
        jwk_of(rsa_key(), "e", alg="ES256"),
        jwk_of(rsa_key(), "e", n="AQAB"),
        jwk_of(rsa_key(1024), "e"),
        jwk_of(ec_key(), "e", crv="secp256k1"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "e"},
        {"kty": "RSA", "kid": "e"},
        {"kty": "RSA", "kid": 7},
        jwk_of(rsa_key(), "e", alg=["RS256"]),
        jwk_of(rsa_key(), "e", alg={}),
        jwk_of(rsa_key(), "e", kty=["RSA"]),
        jwk_of(ec_key(), "e", crv=["P-256"]),
        jwk_of(rsa_key(), "e", n=7),
        jwk_of(rsa_key(), "e", n="!"),
        jwk_of(rsa_key(), "e", use=["sig"]),
        jwk_of(rsa_key(), "e", key_ops="verify"),
        {"kid": "e"},
        "not an object",
        None,
    ],
    ids=range(22),
)
def test_a_key_that_may_not_verify_signatures_is_passed_over(useless):
    keys = parse_key_set(key_set(useless, jwk_of(ec_key(), "good")))
    assert keys.keys() == {"good", None}


def test_the_only_key_is_found_without_an_id():
    keys = parse_key_set(key_set(jwk_of(ec_key(), "a")))
    assert keys[None] is keys["a"]
    unnamed = parse_key_set(key_set(jwk_of(ec_key(), None)))
    assert unnamed.keys() == {None}


def test_of_several_keys_none_is_found_without_an_id():
    keys = parse_key_set(key_set(jwk_of(ec_key(), "a"), jwk_of(rsa_key(), "b")))
    assert keys.keys() == {"a", "b"}


def test_a_private_key_in_the_set_is_taken_as_its_public_half():
    leaked = json.loads(RSAAlgorithm.to_jwk(rsa_key())) | {"kid": "k"}
    leaked.pop("key_ops")
    key = parse_key_set(key_set(leaked))["k"]
    assert not isinstance(key.public_key, rsa.RSAPrivateKey)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'"keys"',
        b'{"keys": {}}',
        b'{"keys": []}',
        b"\xff",
        key_set({"kty": "oct", "k": "AA"}),
        key_set(jwk_of(ec_key(), "a"), jwk_of(ec_key(), "a")),
        key_set(*[jwk_of(ec_key(), str(i)) for i in range(101)]),
    ],
    ids=range(11),
)
def test_what_is_no_usable_key_set_is_said_to_be_none(document):
    with pytest.raises(ValueError, match=r"expected|in the set|can verify"):
        parse_key_set(document)
