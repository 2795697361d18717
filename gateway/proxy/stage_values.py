"""What passes between the stages: frozen values, each the proof of the stage before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gateway.admission.settlement import Admitted
from gateway.bedrock.exchange import Headers
from gateway.bedrock.routes import Route
from gateway.domain.attribution import NOTHING_SAID, Attribution
from gateway.domain.call import CallFacts, Operation
from gateway.domain.caller import Caller
from gateway.domain.ids import RequestId
from gateway.domain.model import IdentifiedModel
from gateway.domain.reservation import Rung
from gateway.domain.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockCall:
    """A request that is well-formed and within bounds; nobody has vouched for it yet.

    `raw_path` and `raw_query` are the target as received, byte for byte: signatures cover them.
    `received_s` is monotonic. Invariant: `body_sha256` is the hash of the bytes on the wire.
    """

    request_id: RequestId
    method: str
    raw_path: str
    raw_query: str
    host: str
    headers: Headers
    user_agent: str | None
    route: Route
    body: bytes = field(repr=False)
    body_sha256: str
    received_s: float

    @property
    def operation(self) -> Operation:
        """Bedrock's name of what is asked for."""
        return self.route.operation


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedCall:
    """A call somebody vouches for. Only now may its body be looked into.

    `region` selects the upstream. `signed_headers` None: the credential does not sign headers.
    """

    call: BedrockCall
    caller: Caller
    region: str
    signed_headers: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedCall:
    """An authenticated call, the model behind its id, what its body says, and for whom it runs."""

    authenticated: AuthenticatedCall
    model: IdentifiedModel
    facts: CallFacts
    attribution: Attribution = NOTHING_SAID

    @property
    def call(self) -> BedrockCall:
        """The request itself."""
        return self.authenticated.call


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedCall:
    """A call whose worst case is held in the ledger. Made by `admit` and nobody else.

    `rung`: as what it runs, and whose places it has until it ends. A stop of any of `scopes` ends
    it.
    """

    identified: IdentifiedCall
    admitted: Admitted
    admitted_at: datetime
    rung: Rung | None = None
    scopes: tuple[Scope, ...] = ()

    @property
    def call(self) -> BedrockCall:
        """The request itself."""
        return self.identified.call
