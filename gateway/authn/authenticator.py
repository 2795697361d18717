"""Who calls? The one place where a request becomes a caller; every kind of credential ends here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from gateway.authn.bearer_verifier import BearerVerifier, Digest
from gateway.authn.issued_key import caller_of
from gateway.authn.jwt_verifier import JwtVerifier
from gateway.authn.ports import KeyDirectory
from gateway.authn.presented import (
    PresentedRequest,
    SignedCredential,
    TokenCredential,
    credential_of,
)
from gateway.authn.short_term_key import PREFIX as SHORT_TERM_PREFIX
from gateway.authn.short_term_key import ShortTermKeyVerifier
from gateway.authn.sigv4_verifier import Sigv4Verifier
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

__all__ = ["Authenticated", "Authenticator", "PresentedRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Somebody vouched for the request.

    `region` is what a signature was made for, which selects the upstream; None if nothing says.
    `signed_headers` are what the signature covers, lower-case; None for tokens (all count alike).
    """

    caller: Caller
    region: str | None
    signed_headers: frozenset[str] | None


class Authenticator:
    """Tells who calls, by signature, bearer key or token."""

    def __init__(
        self,
        keys: KeyDirectory,
        *,
        digest: Digest,
        jwt: JwtVerifier | None = None,
        allowed_regions: frozenset[str],
        max_skew: timedelta = timedelta(minutes=5),
    ) -> None:
        self._signatures = Sigv4Verifier(keys, allowed_regions=allowed_regions, max_skew=max_skew)
        self._short_term = ShortTermKeyVerifier(self._signatures, max_skew=max_skew)
        self._bearers = BearerVerifier(keys, digest)
        self._jwt = jwt

    async def authenticate(self, presented: PresentedRequest, now: datetime) -> Authenticated:
        """The caller of a request to Bedrock.

        Raises: GatewayError of CREDENTIAL_*, SIGNATURE_*, REGION_NOT_ALLOWED, ROLE_NOT_ALLOWED or
        KEYS_UNAVAILABLE.
        """
        authenticated = await self._authenticate(presented, now)
        if authenticated.caller.role is not Role.CALLER:
            raise GatewayError(
                Reason.ROLE_NOT_ALLOWED,
                f"A key of the role {authenticated.caller.role} may not call Bedrock; "
                f"use one of the role {Role.CALLER}.",
            )
        return authenticated

    async def _authenticate(self, presented: PresentedRequest, now: datetime) -> Authenticated:
        credential = credential_of(presented)
        match credential:
            case SignedCredential(authorization):
                key, claimed = await self._signatures.verify(presented, authorization, now)
                return Authenticated(
                    caller=caller_of(key, CredentialKind.SIGV4),
                    region=claimed.region,
                    signed_headers=frozenset(claimed.signed_headers),
                )
            case TokenCredential():
                return await self._of_token(credential, now)
            case _:
                assert_never(credential)

    async def _of_token(self, credential: TokenCredential, now: datetime) -> Authenticated:
        region = None
        if self._jwt is not None and credential.looks_like_jwt:
            caller = await self._jwt.verify(credential.token, now)
        elif credential.token.startswith(SHORT_TERM_PREFIX):
            key, region = await self._short_term.verify(credential.token, now)
            caller = caller_of(key, CredentialKind.BEARER_KEY)
        else:
            key = await self._bearers.verify(credential.token, now)
            caller = caller_of(key, CredentialKind.BEARER_KEY)
        return Authenticated(caller=caller, region=region, signed_headers=None)
