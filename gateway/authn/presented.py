"""What a request presents as proof of who calls: exactly one credential, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_SIGV4_SCHEME = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedRequest:
    """A request as authentication needs it, nothing in it decoded.

    `host` is the Host the client addressed: as received, or as a trusted front has received it.
    `body_sha256` is the lower-case hex hash of the body's bytes on the wire.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body_sha256: str
    host: str


@dataclass(frozen=True, slots=True)
class SignedCredential:
    """An `Authorization` header with a signature, not yet read."""

    authorization: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """A bearer key or a JWT: whoever holds it may use it."""

    token: str = field(repr=False)

    @property
    def looks_like_jwt(self) -> bool:
        """Whether it has the form of a JSON Web Token: a JSON object and two dots."""
        return self.token.startswith("eyJ") and self.token.count(".") == 2  # noqa: PLR2004 - RFC 7519


Credential = SignedCredential | TokenCredential


def credential_of(presented: PresentedRequest) -> Credential:
    """The one credential of the request.

    Raises: GatewayError(CREDENTIAL_MISSING), or CREDENTIAL_MALFORMED if there are several (which
    one counts must never depend on who looks), or one of a kind that is not accepted.
    """
    authorizations: list[str] = []
    api_keys: list[str] = []
    for name, value in presented.headers:
        lowered = name.lower()
        if lowered == "authorization":
            authorizations.append(value)
        elif lowered == "x-api-key":
            api_keys.append(value)
    if presented.raw_query and _is_presigned(presented.raw_query):
        if authorizations or api_keys:
            raise _malformed("the request has a signature in its query and another credential")
        raise _malformed("signatures in the query are not accepted, sign the headers instead")
    if len(authorizations) + len(api_keys) > 1:
        raise _malformed("the request has more than one Authorization or x-api-key")
    if api_keys:
        return _token(api_keys[0])
    if authorizations:
        return _of_authorization(authorizations[0])
    raise GatewayError(
        Reason.CREDENTIAL_MISSING,
        "Missing Authentication Token: sign with Signature Version 4, or send a gateway key as "
        "'Authorization: Bearer …' or 'x-api-key'.",
    )


def _of_authorization(value: str) -> Credential:
    scheme, _, rest = value.partition(" ")
    if scheme == _SIGV4_SCHEME:
        return SignedCredential(value)
    if scheme.lower() == "bearer":
        return _token(rest)
    raise _malformed(f"the scheme must be {_SIGV4_SCHEME} or Bearer")


def _token(value: str) -> TokenCredential:
    token = value.strip(" \t")
    if not token or not token.isascii() or any(mark in token for mark in " \t,"):
        raise _malformed("expected one token")
    return TokenCredential(token)


def _is_presigned(raw_query: str) -> bool:
    names = (parameter.partition("=")[0] for parameter in raw_query.split("&"))
    return any(
        unquote(name).lower() in {"x-amz-algorithm", "x-amz-credential", "x-amz-signature"}
        for name in names
    )


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.CREDENTIAL_MALFORMED, f"The credential cannot be accepted: {what}.")
