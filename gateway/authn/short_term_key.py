"""Whether a short-term Bedrock API key was minted from a key of this gateway.

    bedrock-api-key- + base64(bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-…&Version=1)

It is a presigned POST of an empty body, valid for at most 12 hours, and binds no request: whoever
holds it may use it, for the region it was signed for. `Version=1` is added after signing.
Source: aws-bedrock-token-generator 1.1.0.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from datetime import datetime, timedelta
from urllib.parse import unquote

from gateway.authn.ports import IssuedKey
from gateway.authn.sigv4_verifier import Sigv4Verifier, parse_timestamp
from gateway.bedrock.sigv4 import (
    ALGORITHM,
    EMPTY_BODY_SHA256,
    ClaimedSignature,
    RequestToSign,
    claim_of,
)
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

PREFIX = "bedrock-api-key-"

_HOST = "bedrock.amazonaws.com"
_ACTION = "CallWithBearerToken"
_LONGEST_S = 12 * 3600
_MAX_CHARACTERS = 8192
_UNSIGNED = frozenset({"X-Amz-Signature", "Version"})
_NEEDED = frozenset(
    {
        "Action",
        "Version",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)


class ShortTermKeyVerifier:
    """Verifies short-term keys by the signature in them."""

    def __init__(self, signatures: Sigv4Verifier, *, max_skew: timedelta) -> None:
        self._signatures = signatures
        self._max_skew = max_skew

    async def verify(self, token: str, now: datetime) -> tuple[IssuedKey, str]:
        """The key that the token was minted from, and the region it was minted for.

        Raises: GatewayError of CREDENTIAL_*, SIGNATURE_*, REGION_NOT_ALLOWED or KEYS_UNAVAILABLE.
        """
        raw_query = _presigned_query(token)
        parameters = _parameters(raw_query)
        claimed = claim_of(
            parameters["X-Amz-Credential"],
            parameters["X-Amz-SignedHeaders"],
            parameters["X-Amz-Signature"],
        )
        timestamp = parameters["X-Amz-Date"]
        self._expect_current(timestamp, parameters["X-Amz-Expires"], now)
        _expect_form(claimed, parameters)
        self._signatures.expect_scope(claimed)
        request = RequestToSign(
            method="POST",
            raw_path="/",
            raw_query="&".join(
                parameter
                for parameter in raw_query.split("&")
                if parameter.partition("=")[0] not in _UNSIGNED
            ),
            headers=(("host", _HOST),),
            body_sha256=EMPTY_BODY_SHA256,
        )
        key = await self._signatures.signer_of(request, claimed, timestamp, now)
        return key, claimed.region

    def _expect_current(self, timestamp: str, expires: str, now: datetime) -> None:
        signed_at = parse_timestamp(timestamp)
        if not (expires.isascii() and expires.isdigit() and len(expires) <= len(str(_LONGEST_S))):
            raise _malformed("X-Amz-Expires must be a number of seconds")
        if not 0 < int(expires) <= _LONGEST_S:
            raise _malformed(f"X-Amz-Expires must be 1 to {_LONGEST_S} seconds")
        if now >= signed_at + timedelta(seconds=int(expires)):
            raise GatewayError(
                Reason.CREDENTIAL_EXPIRED, "The short-term API key has expired; make a new one."
            )
        if signed_at > now + self._max_skew:
            raise GatewayError(
                Reason.CREDENTIAL_EXPIRED, "The short-term API key is not valid yet."
            )


def _presigned_query(token: str) -> str:
    expected = f"{_HOST}/?"
    try:
        text = b64decode(token.removeprefix(PREFIX), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as exc:
        raise _unknown() from exc
    if len(token) > _MAX_CHARACTERS or not text.startswith(expected):
        raise _unknown()
    return text.removeprefix(expected)


def _parameters(raw_query: str) -> dict[str, str]:
    pairs = [parameter.partition("=") for parameter in raw_query.split("&")]
    parameters = {name: unquote(value) for name, _, value in pairs}
    if len(parameters) != len(pairs):
        raise _malformed("a parameter is given twice")
    if parameters.keys() - {"X-Amz-Security-Token"} != _NEEDED:
        raise _malformed(f"expected exactly {', '.join(sorted(_NEEDED))}")
    return parameters


def _expect_form(claimed: ClaimedSignature, parameters: dict[str, str]) -> None:
    if parameters["X-Amz-Algorithm"] != ALGORITHM or parameters["Action"] != _ACTION:
        raise _malformed(f"expected {ALGORITHM} and the action {_ACTION}")
    if parameters["Version"] != "1" or claimed.signed_headers != ("host",):
        raise _malformed("expected version 1, and 'host' as the only signed header")
    if claimed.date != parameters["X-Amz-Date"][:8]:
        raise _malformed("the date of its scope is not that of X-Amz-Date")


def _malformed(what: str) -> GatewayError:
    return GatewayError(
        Reason.CREDENTIAL_MALFORMED, f"The short-term API key cannot be read: {what}."
    )


def _unknown() -> GatewayError:
    return GatewayError(
        Reason.CREDENTIAL_UNKNOWN,
        "The Bedrock API key was not made from a key of this gateway. Make it with this gateway's "
        "access key id and secret, or use its bearer key 'bgk-…'.",
    )
