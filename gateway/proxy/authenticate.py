"""Authenticate: who vouches for this call, and which region may it go to?"""

from __future__ import annotations

from gateway.authn.authenticator import Authenticator, PresentedRequest
from gateway.domain.clock import Clock
from gateway.proxy.stage_values import AuthenticatedCall, BedrockCall


class Authenticate:
    """The second stage. The body's hash is enough for it; the body is not looked into."""

    def __init__(self, authenticator: Authenticator, clock: Clock, *, home_region: str) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._home_region = home_region

    async def __call__(self, call: BedrockCall) -> AuthenticatedCall:
        """The call with its caller. Raises: GatewayError(CREDENTIAL_* | SIGNATURE_* | …)."""
        proof = await self._authenticator.authenticate(
            PresentedRequest(
                method=call.method,
                raw_path=call.raw_path,
                raw_query=call.raw_query,
                headers=call.headers,
                body_sha256=call.body_sha256,
                host=call.host,
            ),
            self._clock.now(),
        )
        return AuthenticatedCall(
            call=call,
            caller=proof.caller,
            region=proof.region or self._home_region,
            signed_headers=proof.signed_headers,
        )
