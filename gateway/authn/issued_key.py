"""Whether an issued key counts now, and whom it vouches for."""

from __future__ import annotations

from datetime import datetime

from gateway.authn.ports import IssuedKey
from gateway.domain.caller import Caller, CredentialKind
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason


def expect_in_force(key: IssuedKey, now: datetime) -> None:
    """Lets a key pass that is neither revoked nor expired. Ask only once possession is proven.

    Raises: GatewayError(CREDENTIAL_UNKNOWN) if revoked, CREDENTIAL_EXPIRED if expired.
    """
    if key.revoked_at is not None and key.revoked_at <= now:
        raise GatewayError(
            Reason.CREDENTIAL_UNKNOWN, f"The key {key.key_id} was revoked; ask for a new one."
        )
    if key.expires_at is not None and key.expires_at <= now:
        raise GatewayError(
            Reason.CREDENTIAL_EXPIRED,
            f"The key {key.key_id} expired at {key.expires_at.isoformat()}; ask for a new one.",
        )


def caller_of(key: IssuedKey, credential: CredentialKind) -> Caller:
    """The caller that a proven key vouches for."""
    return Caller(
        key_id=key.key_id,
        credential=credential,
        role=key.role,
        org=key.org,
        team=key.team,
        user=key.user,
        application=key.application,
        may_set=key.may_set,
        may_act_for_others=key.may_act_for_others,
    )
