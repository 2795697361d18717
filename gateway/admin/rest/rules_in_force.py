"""The rules in force as the routes read them: compiled once for each edition."""

from __future__ import annotations

import asyncio

from gateway.admin.services import CurrentBundle
from gateway.control.bundle import PolicyBundle, compile_bundle
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.policy.name_types import EVERYONE
from gateway.policy.parse import PolicySet, parse_policies


class RulesInForce:
    """Remembers the rules of the last edition it was asked for."""

    def __init__(self, current: CurrentBundle) -> None:
        self._current = current
        self._known: tuple[int, str, PolicySet] | None = None

    async def bundle(self) -> PolicyBundle | None:
        """The edition in force. Raises: GatewayError."""
        return await self._current()

    async def policies(self) -> tuple[int, PolicySet]:
        """The edition in force and its rules. Raises: GatewayError."""
        bundle = await self._current()
        if bundle is None:
            return 0, parse_policies({})
        known, digest = self._known, bundle.digest
        if known is not None and known[:2] == (bundle.edition, digest):
            return bundle.edition, known[2]
        try:
            policies = await asyncio.to_thread(compile_bundle, bundle)
        except DocumentError as exc:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                f"edition {bundle.edition} cannot be used by this release",
                fault=Fault.GATEWAY,
            ) from exc
        self._known = (bundle.edition, digest, policies)
        return bundle.edition, policies


def owner_of(org: str) -> Scope:
    """Whose the rules of an org's file are; `*` are the platform's own."""
    return Scope.platform() if org == EVERYONE else Scope.org(org)
