"""Whether a Signature Version 4 is right, made now, and meant for this gateway.

All that can be refused without a key is refused first; then every signature, of a known key or
not, costs the same one HMAC and fails with the same words, so that nobody learns which key ids
exist. There is no replay cache: stock clients send equal signatures within one second.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hmac import compare_digest

from gateway.authn.issued_key import expect_in_force
from gateway.authn.ports import IssuedKey, KeyDirectory
from gateway.authn.presented import PresentedRequest
from gateway.bedrock.sigv4 import (
    BEDROCK_RULES,
    CanonicalRules,
    ClaimedSignature,
    RequestToSign,
    SigningKeys,
    parse_authorization,
    signature_of,
)
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason

SERVICES = frozenset({"bedrock", "bedrock-mantle"})

_NOBODY_S_SECRET = "0" * 40  # what an unknown key id is checked against: never an issued secret
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_TIMESTAMP_CHARACTERS = 16
# Signed whenever they are there: they decide what the signature means. A session token means
# nothing here (issued keys have none), but boto3 sends and signs whatever it is configured with.
_MUST_BE_SIGNED_IF_SENT = ("x-amz-security-token", "x-amz-content-sha256")
_READ_HERE = frozenset({"x-amz-date", "date", *_MUST_BE_SIGNED_IF_SENT})


class Sigv4Verifier:
    """Verifies signatures of issued keys. Holds a bounded store of derived keys, nothing else."""

    def __init__(
        self,
        keys: KeyDirectory,
        *,
        allowed_regions: frozenset[str],
        max_skew: timedelta = timedelta(minutes=5),
        services: frozenset[str] = SERVICES,
        rules: CanonicalRules = BEDROCK_RULES,
        signing_keys: SigningKeys | None = None,
    ) -> None:
        self._keys = keys
        self._allowed_regions = allowed_regions
        self._max_skew = max_skew
        self._services = services
        self._rules = rules
        self._signing_keys = signing_keys or SigningKeys()

    async def verify(
        self, presented: PresentedRequest, authorization: str, now: datetime
    ) -> tuple[IssuedKey, ClaimedSignature]:
        """The key that signed the request, and what it has signed.

        Raises: GatewayError of CREDENTIAL_*, SIGNATURE_*, REGION_NOT_ALLOWED or KEYS_UNAVAILABLE.
        """
        claimed = parse_authorization(authorization)
        stated = _stated(presented)
        timestamp = self._expect_current(stated, claimed, now)
        self.expect_scope(claimed)
        _expect_signed_headers(stated, claimed)
        _expect_body(stated, presented.body_sha256)
        request = RequestToSign(
            method=presented.method,
            raw_path=presented.raw_path,
            raw_query=presented.raw_query,
            headers=presented.headers,
            body_sha256=presented.body_sha256,
            authority=presented.host,
        )
        return await self.signer_of(request, claimed, timestamp, now), claimed

    async def signer_of(
        self, request: RequestToSign, claimed: ClaimedSignature, timestamp: str, now: datetime
    ) -> IssuedKey:
        """The key whose secret made this signature. All that needs no key is checked before.

        Raises: GatewayError of SIGNATURE_INVALID, CREDENTIAL_* or KEYS_UNAVAILABLE.
        """
        key = await self._keys.find(KeyId(claimed.access_key))
        secret = _NOBODY_S_SECRET if key is None else key.secret
        expected = signature_of(
            request,
            claimed,
            secret,
            timestamp=timestamp,
            keys=self._signing_keys,
            rules=self._rules,
        )
        matches = compare_digest(expected, claimed.signature)
        if key is None or not matches:
            raise GatewayError(
                Reason.SIGNATURE_INVALID,
                "The request signature we calculated does not match the signature you provided, "
                "or the access key is not one of this gateway's. Check the access key id, the "
                "secret access key and the signing method.",
            )
        expect_in_force(key, now)
        return key

    def expect_scope(self, claimed: ClaimedSignature) -> None:
        """Lets a claim pass that is for Bedrock in a region that is served.

        Raises: GatewayError of SIGNATURE_INVALID or REGION_NOT_ALLOWED.
        """
        if claimed.service not in self._services:
            raise GatewayError(
                Reason.SIGNATURE_INVALID,
                "Credential should be scoped to correct service: "
                f"{' or '.join(sorted(self._services))}.",
            )
        if claimed.region not in self._allowed_regions:
            raise GatewayError(
                Reason.REGION_NOT_ALLOWED,
                "Credential is scoped to a region that is not served here. Sign for one of: "
                f"{', '.join(sorted(self._allowed_regions))}.",
            )

    def _expect_current(
        self, stated: dict[str, str], claimed: ClaimedSignature, now: datetime
    ) -> str:
        """The timestamp of the signature, which must be of now and of the scope's day."""
        timestamp = stated.get("x-amz-date")
        if timestamp is None:
            raise _incomplete("the header x-amz-date is missing")
        signed_at = parse_timestamp(timestamp)
        if timestamp[:8] != claimed.date:
            raise GatewayError(
                Reason.SIGNATURE_INVALID,
                "The date of the credential scope does not match the date of x-amz-date.",
            )
        if abs(now - signed_at) > self._max_skew:
            raise _not_current(signed_at, now, self._max_skew)
        date = stated.get("date")
        if date is not None and not _is_near(date, signed_at, self._max_skew):
            raise GatewayError(
                Reason.SIGNATURE_INVALID, "The headers Date and x-amz-date contradict each other."
            )
        return timestamp


def _stated(presented: PresentedRequest) -> dict[str, str]:
    """The headers that are read apart from being signed, each of which may come only once."""
    stated: dict[str, str] = {}
    for name, value in presented.headers:
        lowered = name.lower()
        if lowered in _READ_HERE:
            if lowered in stated:
                raise _incomplete(f"'{lowered}' may be given only once")
            stated[lowered] = value.strip(" \t")
    return stated


def _expect_signed_headers(stated: dict[str, str], claimed: ClaimedSignature) -> None:
    names = claimed.signed_headers
    if "host" not in names and ":authority" not in names:
        raise _incomplete("'Host' or ':authority' must be a signed header")
    if "x-amz-date" not in names:
        raise _incomplete("'x-amz-date' must be a signed header")
    for name in _MUST_BE_SIGNED_IF_SENT:
        if name in stated and name not in names:
            raise _incomplete(f"'{name}' must be a signed header if it is sent")


def _expect_body(stated: dict[str, str], body_sha256: str) -> None:
    """A stated body hash must be the body's: no unsigned payloads, no signed chunks."""
    if stated.get("x-amz-content-sha256", body_sha256) != body_sha256:
        raise GatewayError(
            Reason.SIGNATURE_INVALID,
            "x-amz-content-sha256 is not the SHA-256 of the body received. Unsigned and "
            "chunk-signed payloads (UNSIGNED-PAYLOAD, STREAMING-…) are not accepted.",
        )


def _not_current(signed_at: datetime, now: datetime, max_skew: timedelta) -> GatewayError:
    """AWS's own words: the JavaScript SDK corrects its clock on them, by our Date header."""
    minutes = int(max_skew.total_seconds() // 60)
    timestamp, stated_now = signed_at.strftime(_TIMESTAMP), now.strftime(_TIMESTAMP)
    if signed_at < now:
        limit = (now - max_skew).strftime(_TIMESTAMP)
        what = f"Signature expired: {timestamp} is now earlier than {limit} ({stated_now} - "
    else:
        limit = (now + max_skew).strftime(_TIMESTAMP)
        what = (
            f"Signature not yet current: {timestamp} is still later than {limit} ({stated_now} + "
        )
    return GatewayError(Reason.SIGNATURE_EXPIRED, f"{what}{minutes} min.)")


def parse_timestamp(text: str) -> datetime:
    """The instant of an `x-amz-date`. Raises: GatewayError(CREDENTIAL_MALFORMED)."""
    if len(text) == _TIMESTAMP_CHARACTERS and text.isascii():
        day, time = text[:8], text[9:15]
        if day.isdigit() and time.isdigit() and text[8] == "T" and text[15] == "Z":
            try:
                return datetime(
                    int(day[:4]),
                    int(day[4:6]),
                    int(day[6:]),
                    int(time[:2]),
                    int(time[2:4]),
                    int(time[4:]),
                    tzinfo=UTC,
                )
            except ValueError:
                pass  # no such day or hour: said below
    raise _incomplete("x-amz-date must be an instant of the form YYYYMMDDTHHMMSSZ")


def _is_near(date: str, signed_at: datetime, max_skew: timedelta) -> bool:
    try:
        stated = parsedate_to_datetime(date)
        return abs(stated.replace(tzinfo=stated.tzinfo or UTC) - signed_at) <= max_skew
    except (ValueError, OverflowError):
        return False


def _incomplete(what: str) -> GatewayError:
    return GatewayError(Reason.CREDENTIAL_MALFORMED, f"The signature is incomplete: {what}.")
