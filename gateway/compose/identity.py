"""Who may call: the verifiers, with the key directory and the JWT issuer behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import aiohttp

from gateway.adapters.files.jwks_file import load_key_file
from gateway.adapters.http.jwks_source import JwksSource
from gateway.admin.access import Administrator
from gateway.authn.authenticator import Authenticator
from gateway.authn.bearer_verifier import BearerVerifier
from gateway.authn.issued_key import caller_of
from gateway.authn.jwt_verifier import ClaimNames, JwtVerifier
from gateway.authn.ports import KeyDirectory, VerificationKeys
from gateway.authn.presented import TokenCredential
from gateway.compose.stores import make_sealer
from gateway.control.keys import SET_BY_DEFAULT, SETTABLE
from gateway.domain.caller import Caller, CredentialKind, Role
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


class AdminGate:
    """The admin plane's door: a bearer key, or a token of the administrators' issuer.

    What it permits, routes decide. Implements `admin.access.Gate`.
    """

    def __init__(
        self, settings: Settings, keys: KeyDirectory, jwt: JwtVerifier | None = None
    ) -> None:
        self._bearers = BearerVerifier(keys, make_sealer(settings).bearer_digest)
        self._jwt = jwt

    async def admit(self, bearer: str, now: datetime) -> Administrator:
        """Who it vouches for. Raises: GatewayError(CREDENTIAL_* | KEYS_UNAVAILABLE)."""
        if self._jwt is not None and TokenCredential(bearer).looks_like_jwt:
            return Administrator(caller=_with_rights(await self._jwt.verify(bearer, now)))
        key = await self._bearers.verify(bearer, now)
        caller = caller_of(key, CredentialKind.BEARER_KEY)
        ends = [at for at in (key.expires_at, key.revoked_at) if at is not None]
        return Administrator(caller=caller, expires_at=min(ends, default=None))


@asynccontextmanager
async def open_admin_gate(
    settings: Settings, keys: KeyDirectory, clock: Clock
) -> AsyncIterator[AdminGate]:
    """The admin plane's door for as long as the context lives."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield AdminGate(settings, keys, _admin_jwt_verifier(settings, session, clock))


def _with_rights(caller: Caller) -> Caller:
    """What a token's role may hand on to keys; a key says that of itself, a token does not."""
    may_set = SETTABLE if caller.role is Role.ADMIN else SET_BY_DEFAULT
    acts = caller.role is Role.ADMIN
    return replace(caller, may_set=may_set, may_act_for_others=acts)


def _jwt_verifier(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock
) -> JwtVerifier | None:
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    return JwtVerifier(
        _issuer_keys(settings.jwt_key_file, settings.jwt_jwks_url, session, clock),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        claims=ClaimNames(
            org=settings.jwt_org_claim,
            team=settings.jwt_team_claim,
            user=settings.jwt_user_claim,
        ),
    )


def _admin_jwt_verifier(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock
) -> JwtVerifier | None:
    if settings.admin_jwt_issuer is None or settings.admin_jwt_audience is None:
        return None
    return JwtVerifier(
        _issuer_keys(settings.admin_jwt_key_file, settings.admin_jwt_jwks_url, session, clock),
        issuer=settings.admin_jwt_issuer,
        audience=settings.admin_jwt_audience,
        claims=ClaimNames(
            org=settings.admin_jwt_org_claim,
            team=settings.admin_jwt_team_claim,
            user=settings.admin_jwt_user_claim,
            role=settings.admin_jwt_role_claim,
        ),
    )


def _issuer_keys(
    file: Path | None, url: str | None, session: aiohttp.ClientSession, clock: Clock
) -> VerificationKeys:
    return load_key_file(file) if file is not None else JwksSource(session, str(url), clock=clock)
