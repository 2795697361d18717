"""Who may call: the verifiers, with the key directory and the JWT issuer behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp

from gateway.adapters.files.jwks_file import load_key_file
from gateway.adapters.http.jwks_source import JwksSource
from gateway.authn.authenticator import Authenticator
from gateway.authn.bearer_verifier import BearerVerifier
from gateway.authn.issued_key import caller_of
from gateway.authn.jwt_verifier import ClaimNames, JwtVerifier
from gateway.authn.ports import KeyDirectory, VerificationKeys
from gateway.compose.stores import make_sealer
from gateway.domain.caller import Caller, CredentialKind
from gateway.domain.clock import Clock
from gateway.settings import Settings


@asynccontextmanager
async def open_authenticator(
    settings: Settings, keys: KeyDirectory, clock: Clock, *, home_region: str
) -> AsyncIterator[Authenticator]:
    """The data plane's authenticator for as long as the context lives."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield Authenticator(
            keys,
            digest=make_sealer(settings).bearer_digest,
            jwt=_jwt_verifier(settings, session, clock),
            allowed_regions=frozenset(settings.upstream_regions) | {home_region},
        )


class KeyGate:
    """The admin plane's door: a bearer key, of whatever role; what it permits, routes decide."""

    def __init__(self, settings: Settings, keys: KeyDirectory) -> None:
        self._bearers = BearerVerifier(keys, make_sealer(settings).bearer_digest)

    async def admit(self, bearer: str, now: datetime) -> Caller:
        """Who the key vouches for. Raises: GatewayError(CREDENTIAL_* | KEYS_UNAVAILABLE)."""
        key = await self._bearers.verify(bearer, now)
        return caller_of(key, CredentialKind.BEARER_KEY)


def _jwt_verifier(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock
) -> JwtVerifier | None:
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    keys: VerificationKeys
    if settings.jwt_key_file is not None:
        keys = load_key_file(settings.jwt_key_file)
    else:
        keys = JwksSource(session, str(settings.jwt_jwks_url), clock=clock)
    return JwtVerifier(
        keys,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        claims=ClaimNames(
            org=settings.jwt_org_claim,
            team=settings.jwt_team_claim,
            user=settings.jwt_user_claim,
        ),
    )
