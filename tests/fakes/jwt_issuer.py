"""An issuer of JSON Web Tokens with keys of its own, and a source of its public keys."""

from __future__ import annotations

import base64
import json
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.authn.jwks import parse_key_set
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON

ISSUER = "https://issuer.example"
AUDIENCE = "bedrock-gateway"
NOW_S = int(NOON.timestamp())


@lru_cache(maxsize=8)
def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@lru_cache(maxsize=8)
def ec_key(curve="P-256"):
    return ec.generate_private_key(ec.SECP256R1() if curve == "P-256" else ec.SECP384R1())


@lru_cache(maxsize=1)
def ed_key():
    return ed25519.Ed25519PrivateKey.generate()


def jwk_of(private_key, key_id, **members):
    public = private_key.public_key()
    if isinstance(private_key, rsa.RSAPrivateKey):
        text = RSAAlgorithm.to_jwk(public)
    elif isinstance(private_key, ec.EllipticCurvePrivateKey):
        text = ECAlgorithm.to_jwk(public)
    else:
        text = OKPAlgorithm.to_jwk(public)
    entry = json.loads(text)
    entry.pop("key_ops", None)
    entry.update(members)
    return entry if key_id is None else {**entry, "kid": key_id}


def key_set(*entries):
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changes):
    values = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": NOW_S + 600,
        "org": "acme",
        "team": "web",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def token(payload=None, *, key=None, algorithm="RS256", key_id="rsa", headers=None):
    """A token as the issuer makes it, or with one thing wrong."""
    return jwt.encode(
        claims() if payload is None else payload,
        rsa_key() if key is None else key,
        algorithm=algorithm,
        headers={**({"kid": key_id} if key_id is not None else {}), **(headers or {})},
    )


def forged(header, payload, signature=b""):
    """A token of any header and payload, however absurd."""

    def part(value):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return f"{part(header)}.{part(payload)}.{part(signature)}"


class FakeVerificationKeys:
    """Implements `authn.ports.VerificationKeys`; counts how often it is asked."""

    def __init__(self, document):
        self.keys = parse_key_set(document)
        self.asked = []
        self.is_available = True

    async def find(self, key_id):
        self.asked.append(key_id)
        if not self.is_available:
            raise GatewayError(Reason.KEYS_UNAVAILABLE)
        return self.keys.get(key_id)
