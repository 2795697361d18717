"""Who stands before the admin API, and what of it they may use: nobody anything by default.

Every route states the least role it takes and what it is about (`route.About`). A role may all that
the roles before it may: viewer, analyst, operator, admin. A caller's key is for the data plane and
opens nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from gateway.control.keys import Maker
from gateway.control.reach import Reach, at_least, reach_of
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_MAX_BEARER_CHARS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Whoever a credential vouches for, and until when it does. `expires_at` None: no end."""

    caller: Caller
    expires_at: datetime | None = None

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.caller.role

    @property
    def reach(self) -> Reach:
        """To whose things they may do it."""
        return reach_of(self.caller)

    @property
    def name(self) -> str:
        """Who they are, as the audit trail and a key's `created_by` say it."""
        if self.caller.credential is CredentialKind.JWT:
            return f"jwt:{self.caller.user or self.caller.key_id}"
        return f"key:{self.caller.key_id}"

    @property
    def person(self) -> str:
        """Who they are, as people read it: the user where the credential names one."""
        user = self.caller.user
        return self.name if user is None or user in self.name else f"{user} ({self.name})"

    @property
    def as_maker(self) -> Maker:
        """All that they may hand on to a key they make."""
        return Maker(
            name=self.name,
            role=self.role,
            reach=self.reach,
            may_set=self.caller.may_set,
            may_act_for_others=self.caller.may_act_for_others,
            expires_at=self.expires_at,
        )


class Gate(Protocol):
    """Tells who stands behind a bearer key or a token."""

    async def admit(self, bearer: str, now: datetime) -> Administrator:
        """The one it vouches for. Raises: GatewayError(CREDENTIAL_* | KEYS_UNAVAILABLE)."""
        ...


def allows(held: Role, needed: Role) -> bool:
    """Whether the role held is at least the one needed. A caller's role opens and is nothing."""
    return Role.CALLER not in (held, needed) and at_least(held, needed)


def expect_role(administrator: Administrator, needed: Role) -> None:
    """Lets the role pass. Raises: GatewayError(ROLE_NOT_ALLOWED)."""
    if not allows(administrator.role, needed):
        raise GatewayError(
            Reason.ROLE_NOT_ALLOWED,
            f"this needs the role {needed.value}, you have {administrator.role.value}",
        )


def bearer_of(request: web.Request) -> str:
    """The bearer credential a request presents, once, in its header and nowhere else.

    Raises: GatewayError(CREDENTIAL_*).
    """
    values = request.headers.getall("Authorization", [])
    if not values:
        raise GatewayError(Reason.CREDENTIAL_MISSING, "present a key: Authorization: Bearer KEY")
    scheme, _, bearer = values[0].partition(" ")
    bearer = bearer.strip()
    is_one = len(values) == 1 and bearer.isascii() and not any(c in " \t," for c in bearer)
    if scheme.lower() != "bearer" or not is_one or not 0 < len(bearer) <= _MAX_BEARER_CHARS:
        raise GatewayError(
            Reason.CREDENTIAL_MALFORMED, "expected one header: Authorization: Bearer KEY"
        )
    return bearer
