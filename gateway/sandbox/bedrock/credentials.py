"""Who may call: SigV4 as botocore computes it (not as the gateway does), or a Bedrock API key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # ships no type marker
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # same
from botocore.credentials import Credentials  # type: ignore[import-untyped]  # same

from gateway.sandbox.bedrock.errors import SimulatedError

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/([0-9]{8})/([a-z0-9-]+)/bedrock/aws4_request, ?"
    r"SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedCredentials:
    """What the simulated account knows its caller by. `bearer_token` None: none is accepted."""

    access_key: str = "AKIASANDBOXUPSTREAM0"
    secret: str = field(default="sandbox-upstream-secret", repr=False)
    session_token: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)


def check_credentials(
    accepted: AcceptedCredentials,
    *,
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
) -> None:
    """Lets pass what AWS would let pass. Raises: SimulatedError of the 403 family."""
    found = {name.lower(): value for name, value in headers}
    authorization = found.get("authorization")
    if authorization is None:
        raise SimulatedError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if authorization.startswith("Bearer "):
        token = accepted.bearer_token
        given = authorization.removeprefix("Bearer ").encode()
        if token is None or not hmac.compare_digest(given, token.encode()):
            raise SimulatedError("AccessDeniedException", "Authentication failed: API Key")
        return
    claimed = _AUTHORIZATION.fullmatch(authorization)
    if claimed is None:
        raise SimulatedError("InvalidSignatureException", "The Authorization header is malformed.")
    access_key, day, region, names, signature = claimed.groups()
    if access_key != accepted.access_key:
        raise SimulatedError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    if found.get("x-amz-security-token") != accepted.session_token:
        raise SimulatedError("UnrecognizedClientException", "The security token is invalid.")
    _check_what_is_signed(found, names.split(";"), day, body)
    request = AWSRequest(method=method, url=url, data=body)
    for name in names.split(";"):
        request.headers[name] = found[name]
    expected = _signature(accepted, region, request, found["x-amz-date"])
    if not hmac.compare_digest(expected, signature):
        raise SimulatedError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )


def _check_what_is_signed(found: dict[str, str], names: list[str], day: str, body: bytes) -> None:
    absent = [name for name in names if name not in found]
    unsigned = [
        name
        for name in found
        if name not in names
        and (name in ("host", "x-amz-date") or name.startswith(("x-amz-", "x-amzn-bedrock-")))
    ]
    if absent or unsigned:
        raise SimulatedError(
            "InvalidSignatureException", f"absent: {absent}; must be signed: {unsigned}"
        )
    if not found["x-amz-date"].startswith(day):
        raise SimulatedError("InvalidSignatureException", "Date in Credential scope differs.")
    stated_hash = found.get("x-amz-content-sha256")
    if stated_hash is not None and stated_hash != hashlib.sha256(body).hexdigest():
        raise SimulatedError("InvalidSignatureException", "The body's hash differs.")


def _signature(
    accepted: AcceptedCredentials, region: str, request: AWSRequest, timestamp: str
) -> str:
    request.context["timestamp"] = timestamp
    signer = SigV4Auth(Credentials(accepted.access_key, accepted.secret), "bedrock", region)
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))
