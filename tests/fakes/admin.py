"""An admin API on fakes: keys by role, records by id, probes that fail when told to."""

from __future__ import annotations

from gateway.admin.server import AdminServices
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver


def caller(role: Role, org: str = "acme") -> Caller:
    return Caller(
        key_id=KeyId("AKIAEXAMPLE"), credential=CredentialKind.BEARER_KEY, role=role, org=org
    )


class FakeGate:
    """Implements `admin.access.Gate`: the bearer `viewer@acme` is a viewer of acme."""

    async def admit(self, bearer, now):
        assert now.tzinfo is not None
        role, _, org = bearer.partition("@")
        if role not in tuple(Role) or not org:
            raise GatewayError(Reason.CREDENTIAL_UNKNOWN, "not a key of this gateway")
        return caller(Role(role), org)


class FakeRecords:
    """Implements `control.ports.RecordFinder`."""

    def __init__(self, *documents) -> None:
        self.documents = {document["request_id"]: document for document in documents}
        self.error: Exception | None = None

    async def find(self, request_id):
        if self.error is not None:
            raise self.error
        return self.documents.get(request_id)


def services(records=None, **probes) -> AdminServices:
    return AdminServices(
        gate=FakeGate(),
        records=records or FakeRecords(),
        probes=probes,
        clock=FakeClock(),
        observer=RememberingObserver(),
    )


def bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}
