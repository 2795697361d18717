"""Whether a JSON Web Token of the configured issuer is genuine and current, and whom it names.

Source: RFC 8725 (JWT best current practices). Times are checked against the clock we are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import jwt
from jwt.types import Options

from gateway.authn.jwks import ALGORITHMS, VerificationKey
from gateway.authn.ports import VerificationKeys
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from gateway.domain.scope import UNATTRIBUTED, is_scope_name

_MAX_TOKEN_BYTES = 8192
_MAX_KEY_ID_CHARACTERS = 256
_MAX_INSTANT = 2**53  # where seconds stop being exact; NaN and infinity compare as above it
# A token may not say where its key is to be found, nor demand what we do not understand.
_FORBIDDEN_HEADERS = ("crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_REQUIRED = ["aud", "exp", "iss", "sub"]
_OPTIONS: Options = {
    "require": _REQUIRED,
    "verify_exp": False,  # these three by our clock, not by the library's
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Which claims bind the caller. `org` None: every token is of `fixed_org`.

    `role` None: the role is always `caller`, whatever a token says.
    """

    org: str | None = "org"
    team: str | None = "team"
    user: str | None = "sub"
    application: str | None = None
    role: str | None = None
    fixed_org: str | None = None


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    not_before: float
    expires_at: float
    forget_at: float


class JwtVerifier:
    """Verifies tokens of one issuer. Remembers what it verified, by the hash of the whole token.

    Units: seconds. `remember_s` bounds how long a withdrawn issuer key may go on counting.
    """

    def __init__(
        self,
        keys: VerificationKeys,
        *,
        issuer: str,
        audience: str,
        claims: ClaimNames,
        leeway_s: float = 60,
        remember_s: float = 300,
        capacity: int = 10_000,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._claims = claims
        self._leeway_s = leeway_s
        self._remember_s = remember_s
        self._capacity = capacity
        self._verified: dict[bytes, _Verified] = {}

    async def verify(self, token: str, now: datetime) -> Caller:
        """The caller that the token names, with the role that its claim names if one is set.

        Raises: GatewayError of CREDENTIAL_MALFORMED, CREDENTIAL_UNKNOWN, CREDENTIAL_EXPIRED,
        SIGNATURE_INVALID or KEYS_UNAVAILABLE.
        """
        if len(token) > _MAX_TOKEN_BYTES:
            raise _malformed(f"it is longer than {_MAX_TOKEN_BYTES} bytes")
        instant = now.timestamp()
        name = sha256(token.encode()).digest()
        known = self._verified.get(name)
        if known is None or instant >= known.forget_at:
            known = await self._verify_anew(token, instant)
        if instant >= known.expires_at + self._leeway_s:
            self._verified.pop(name, None)
            raise GatewayError(Reason.CREDENTIAL_EXPIRED, "The token has expired; get a new one.")
        if instant < known.not_before - self._leeway_s:
            raise GatewayError(Reason.CREDENTIAL_EXPIRED, "The token is not valid yet.")
        self._remember(name, known)
        return known.caller

    async def _verify_anew(self, token: str, instant: float) -> _Verified:
        header = _unverified_header(token)
        algorithm = header["alg"]
        key = await self._keys.find(header.get("kid"))
        if not isinstance(key, VerificationKey):
            raise GatewayError(
                Reason.CREDENTIAL_UNKNOWN,
                "The token is signed with a key its issuer does not have.",
            )
        if algorithm not in key.algorithms:
            raise _malformed("its algorithm is not the one of its key")
        claims = self._checked_claims(token, key, algorithm)
        issued_at = _instant(claims, "iat", default=-math.inf)
        return _Verified(
            caller=self._caller(claims),
            not_before=max(issued_at, _instant(claims, "nbf", default=-math.inf)),
            expires_at=_instant(claims, "exp"),
            forget_at=instant + self._remember_s,
        )

    def _checked_claims(self, token: str, key: VerificationKey, algorithm: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public_key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options=_OPTIONS,
            )
        except jwt.InvalidSignatureError as exc:
            raise GatewayError(
                Reason.SIGNATURE_INVALID, "The token's signature does not match."
            ) from exc
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as exc:
            raise GatewayError(
                Reason.CREDENTIAL_UNKNOWN,
                "The token is not of the issuer, or not for this gateway.",
            ) from exc
        except jwt.MissingRequiredClaimError as exc:
            raise _malformed(f"it needs the claims {', '.join(_REQUIRED)}") from exc
        except (jwt.PyJWTError, ValueError, TypeError) as exc:
            raise _malformed("it is not a well-formed JWT") from exc
        return claims

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        names = self._claims
        org = _name(claims, names.org) if names.org else names.fixed_org
        if org is None:
            raise _malformed(f"it needs the claim {names.org!r}, which names the organisation")
        subject = f"{self._issuer}\n{claims['sub']}"
        return Caller(
            key_id=KeyId(f"jwt-{sha256(subject.encode()).hexdigest()[:24]}"),
            credential=CredentialKind.JWT,
            role=_role(claims, names.role),
            org=org,
            team=_name(claims, names.team) or UNATTRIBUTED,
            user=_name(claims, names.user),
            application=_name(claims, names.application),
        )

    def _remember(self, name: bytes, verified: _Verified) -> None:
        if name not in self._verified and len(self._verified) >= self._capacity:
            del self._verified[next(iter(self._verified))]
        self._verified[name] = verified


def _unverified_header(token: str) -> dict[str, Any]:
    """The header, of which nothing is believed but which key and algorithm to try."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as exc:
        raise _malformed("it is not a well-formed JWT") from exc
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _malformed(f"its algorithm must be one of {', '.join(sorted(ALGORITHMS))}")
    if any(name in header for name in _FORBIDDEN_HEADERS):
        raise _malformed(f"its header must not have any of {', '.join(_FORBIDDEN_HEADERS)}")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _malformed("its type must be JWT or at+jwt")
    key_id = header.get("kid")
    if not isinstance(key_id, str | None) or len(key_id or "") > _MAX_KEY_ID_CHARACTERS:
        raise _malformed(f"its kid must be text of at most {_MAX_KEY_ID_CHARACTERS} characters")
    return header


def _instant(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    if name not in claims and default is not None:
        return default
    value = claims.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_INSTANT:
        return float(value)
    raise _malformed(f"its claim {name!r} must be a number of seconds")


def _name(claims: Mapping[str, Any], claim: str | None) -> str | None:
    value = claims.get(claim) if claim else None
    if value is None:
        return None
    if not isinstance(value, str) or not is_scope_name(value):
        raise _malformed(
            f"its claim {claim!r} must be a name of 1 to 64 letters, digits or '._@+-'"
        )
    return value


def _role(claims: Mapping[str, Any], claim: str | None) -> Role:
    """The role that a claim names, alone or in a list of which the others are not ours.

    Several roles, or none that is known, are no role: `caller`, which opens nothing but Bedrock.
    """
    value = claims.get(claim) if claim else None
    names = value if isinstance(value, list) else [value]
    known = {name for name in names if isinstance(name, str) and name in tuple(Role)}
    return Role(known.pop()) if len(known) == 1 else Role.CALLER


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.CREDENTIAL_MALFORMED, f"The token cannot be accepted: {what}.")
