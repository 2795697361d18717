"""AWS Signature Version 4, both ways: signing, and computing what a claimed signature should be.

Signer and verifier share one canonicalisation (`canonical.py`) and one store of derived keys.
Source: AWS IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from gateway.bedrock.canonical import (
    BEDROCK_RULES,
    CanonicalRules,
    RequestToSign,
    canonical_path,
    canonical_query,
    canonical_request,
    signed_values,
)
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

__all__ = [
    "ALGORITHM",
    "BEDROCK_RULES",
    "EMPTY_BODY_SHA256",
    "CanonicalRules",
    "ClaimedSignature",
    "RequestToSign",
    "SigningKey",
    "SigningKeys",
    "canonical_path",
    "canonical_query",
    "canonical_request",
    "claim_of",
    "derive_signing_key",
    "parse_authorization",
    "sign",
    "signature_of",
    "string_to_sign",
]

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_BODY_SHA256 = sha256(b"").hexdigest()

_TERMINATOR = "aws4_request"
_SCOPE_PARTS = 5
_DATE_DIGITS = 8
_SIGNATURE_DIGITS = 64
# Headers that proxies and HTTP libraries on the way may change. Source: botocore, aws-c-auth.
_UNSIGNABLE = frozenset(
    {
        "authorization",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedSignature:
    """What an `Authorization` header claims; nothing of it is proven yet.

    `date` is the day of the credential scope, `YYYYMMDD`.
    """

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)

    @property
    def scope(self) -> str:
        """The credential scope, as it stands in the string to sign."""
        return f"{self.date}/{self.region}/{self.service}/{_TERMINATOR}"


class SigningKey:
    """A key derived for one day, region and service, with both HMAC pads already hashed.

    Copying two hash states costs half of what `hmac.digest` does.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = sha256(block.translate(hmac.trans_36))
        self._outer = sha256(block.translate(hmac.trans_5C))

    def sign(self, text: bytes) -> str:
        """The HMAC-SHA256 of the text, in hex."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class SigningKeys:
    """Derived keys, remembered: deriving one takes four HMACs. Bounded; the oldest goes first."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._keys: dict[tuple[str, str, str, str], SigningKey] = {}

    def key(self, secret: str, date: str, region: str, service: str) -> SigningKey:
        """The signing key of a secret for one scope."""
        name = (secret, date, region, service)
        found = self._keys.get(name)
        if found is None:
            found = SigningKey(derive_signing_key(secret, date, region, service))
            if len(self._keys) >= self._capacity:
                del self._keys[next(iter(self._keys))]
            self._keys[name] = found
        return found


def derive_signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key that signs for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def string_to_sign(canonical: str, timestamp: str, scope: str) -> str:
    """The text that the derived key signs. `timestamp` is `YYYYMMDDTHHMMSSZ`."""
    digest = sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def parse_authorization(value: str) -> ClaimedSignature:
    """The claim in an `Authorization` header of the scheme AWS4-HMAC-SHA256.

    Raises: GatewayError(CREDENTIAL_MALFORMED) that says what was expected.
    """
    scheme, _, parameters = value.partition(" ")
    if scheme != ALGORITHM:
        raise _malformed(f"the only signature algorithm accepted is {ALGORITHM}")
    parts: dict[str, str] = {}
    for parameter in parameters.split(","):
        name, equals, content = parameter.strip(" \t").partition("=")
        if not equals or not content:
            raise _malformed("expected Credential=…, SignedHeaders=…, Signature=…")
        if name in parts:
            raise _malformed("a parameter is given twice")
        parts[name] = content
    if parts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise _malformed("expected exactly Credential, SignedHeaders and Signature")
    return claim_of(parts["Credential"], parts["SignedHeaders"], parts["Signature"])


def claim_of(credential: str, signed_headers: str, signature: str) -> ClaimedSignature:
    """The claim made of its three parts. Raises: GatewayError(CREDENTIAL_MALFORMED)."""
    scope = credential.split("/")
    if len(scope) != _SCOPE_PARTS or not all(scope) or not credential.isascii():
        raise _malformed("Credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
    access_key, date, region, service, terminator = scope
    if terminator != _TERMINATOR:
        raise _malformed("the credential scope must end in 'aws4_request'")
    if len(date) != _DATE_DIGITS or not date.isdigit():
        raise _malformed("the date of the credential scope must be YYYYMMDD")
    names = tuple(signed_headers.split(";"))
    if not all(names) or len(set(names)) != len(names) or signed_headers != signed_headers.lower():
        raise _malformed("SignedHeaders must be distinct lower-case names, separated by ';'")
    if len(signature) != _SIGNATURE_DIGITS or not _is_lower_hex(signature):
        raise _malformed("Signature must be 64 lower-case hexadecimal digits")
    return ClaimedSignature(
        access_key=access_key,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
    )


def signature_of(
    request: RequestToSign,
    claimed: ClaimedSignature,
    secret: str,
    *,
    timestamp: str | None = None,
    keys: SigningKeys | None = None,
    rules: CanonicalRules = BEDROCK_RULES,
) -> str:
    """The signature this request has under the claimed scope and this secret, in hex.

    `timestamp` None: the request's own `x-amz-date`. With `keys` the derived key is remembered.
    The scope's region and service are whatever the claim says: checking them is the verifier's.
    """
    if timestamp is None:
        timestamp = signed_values(request, frozenset({"x-amz-date"})).get("x-amz-date", "")
    canonical = canonical_request(request, claimed.signed_headers, rules)
    text = string_to_sign(canonical, timestamp, claimed.scope).encode()
    if keys is None:
        keys = SigningKeys(capacity=1)
    return keys.key(secret, claimed.date, claimed.region, claimed.service).sign(text)


def sign(
    request: RequestToSign,
    *,
    access_key: str,
    secret: str,
    session_token: str | None = None,
    region: str,
    service: str,
    at: datetime,
    keys: SigningKeys | None = None,
    rules: CanonicalRules = BEDROCK_RULES,
    add_body_header: bool = False,
) -> list[tuple[str, str]]:
    """The headers to add so that the request is signed; every signable header it has is covered.

    Invariant: the request carries `host` (or `:authority`). `at` is aware.
    `add_body_header` adds `x-amz-content-sha256`, which Bedrock does not ask for.
    """
    timestamp = at.strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", timestamp)]
    if session_token is not None:
        added.append(("x-amz-security-token", session_token))
    if add_body_header:
        added.append(("x-amz-content-sha256", request.body_sha256))
    replaced = {name for name, _ in added}
    kept = [pair for pair in request.headers if pair[0].lower() not in replaced]
    complete = RequestToSign(
        method=request.method,
        raw_path=request.raw_path,
        raw_query=request.raw_query,
        headers=[*kept, *added],
        body_sha256=request.body_sha256,
        authority=request.authority,
    )
    claimed = ClaimedSignature(
        access_key=access_key,
        date=timestamp[:8],
        region=region,
        service=service,
        signed_headers=_names_to_sign(name for name, _ in complete.headers),
        signature="",
    )
    signature = signature_of(complete, claimed, secret, timestamp=timestamp, keys=keys, rules=rules)
    authorization = (
        f"{ALGORITHM} Credential={access_key}/{claimed.scope}, "
        f"SignedHeaders={';'.join(claimed.signed_headers)}, Signature={signature}"
    )
    return [*added, ("Authorization", authorization)]


def _names_to_sign(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.lower() for name in names} - _UNSIGNABLE))


def _is_lower_hex(text: str) -> bool:
    return not text.strip("0123456789abcdef")


def _malformed(what: str) -> GatewayError:
    return GatewayError(
        Reason.CREDENTIAL_MALFORMED, f"The Authorization header cannot be read: {what}."
    )
