"""What the audit trail is told of one request that changes something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.control.audit import AuditEvent, AuditOutcome
from gateway.control.audit_trail import AuditTrail
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, Observer

_COMPONENT = "admin audit"


class Recorder:
    """Tells the trail of one request: once before it acts, and again if it then failed."""

    def __init__(
        self,
        trail: AuditTrail,
        observer: Observer,
        *,
        event_id: Callable[[], str],
        now: Callable[[], datetime],
        actor: str,
        action: str,
        place: Mapping[str, str],
    ) -> None:
        self._trail = trail
        self._observer = observer
        self._event_id = event_id
        self._now = now
        self._actor = actor
        self._action = action
        self._place = place
        self.resource: str | None = None

    async def record(
        self, resource: str, outcome: AuditOutcome, context: Mapping[str, str]
    ) -> None:
        """Keeps it. Raises: GatewayError(AUDIT_UNAVAILABLE): then nothing may be done."""
        await self._trail.record(
            AuditEvent(
                event_id=self._event_id(),
                actor=self._actor,
                action=self._action,
                resource=resource,
                outcome=outcome,
                at=self._now(),
                context={**self._place, **context},
            )
        )
        self.resource = resource

    async def record_if_possible(
        self, resource: str, outcome: AuditOutcome, context: Mapping[str, str]
    ) -> bool:
        """The same for what has happened anyway; whether it was kept."""
        try:
            await self.record(resource, outcome, context)
        except GatewayError as exc:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=exc.detail))
            return False
        return True
