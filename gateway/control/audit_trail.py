"""Puts events on the audit chain; keeps them on this host while the chain's store is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from typing import Protocol

from gateway.control.audit import AuditEntry, AuditEvent, Checkpoint, next_entry
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import ComponentFailed, Observer
from gateway.domain.reason import Reason

CHAIN = "main"
"""The chain of an installation: one, so that the order of what was done to it is one."""

_ATTEMPTS = 50
_COMPONENT = "audit trail"


class Appended(Enum):
    """What became of an entry that was to be put at a place of the chain.

    TAKEN: another writer has this place. KNOWN: the event has its entry already.
    """

    WRITTEN = "written"
    TAKEN = "taken"
    KNOWN = "known"


class UnreadableEntryError(GatewayError):
    """What is stored at a place of the chain is no entry at all: somebody else wrote there."""

    def __init__(self, seq: int) -> None:
        super().__init__(
            Reason.AUDIT_UNAVAILABLE,
            f"entry {seq} of the audit chain is not as it was written",
            fault=Fault.GATEWAY,
        )
        self.seq = seq


class AuditTrail(Protocol):
    """Where everything that is done to the installation is told."""

    async def record(self, event: AuditEvent) -> None:
        """Keeps the event: when this returns, it cannot get lost any more.

        Raises: GatewayError(AUDIT_UNAVAILABLE) if neither the store nor this host's disk takes it;
        what was to be recorded must then not be done.
        """
        ...


class AuditStore(Protocol):
    """The chain as it is stored. Raises (every method): GatewayError(AUDIT_UNAVAILABLE)."""

    async def last(self, chain: str) -> AuditEntry | None:
        """The newest entry; None: there is none yet."""
        ...

    async def append(self, entry: AuditEntry) -> Appended:
        """Puts the entry at its place, if nobody else has, and its event is new.

        Invariant: of two writers one gets a place, whatever either believes: the store decides.
        """
        ...

    def entries(
        self, chain: str, *, first: int = 1, newest_first: bool = False
    ) -> AsyncIterator[AuditEntry]:
        """The entries in the order of their places, from `first` on; or backwards from the end."""
        ...

    async def erase_details(self, chain: str, seq: int) -> bool:
        """Forgets who, what and why of an entry; False if there is no such entry."""
        ...


class Spool(Protocol):
    """A place on this host where events wait for the store."""

    def add(self, event: AuditEvent) -> None:
        """Keeps the event on the disk. Raises: OSError."""
        ...

    def waiting(self) -> Sequence[AuditEvent]:
        """All that wait, oldest first. Raises: OSError."""
        ...

    def forget(self, count: int) -> None:
        """Drops the first so many of those that waited. Raises: OSError."""
        ...


class Checkpoints(Protocol):
    """Signed words about the chain, kept outside its store."""

    def add(self, entry: AuditEntry) -> None:
        """Signs that the chain holds this entry. Raises: OSError."""
        ...

    def all(self) -> Sequence[Checkpoint]:
        """Every checkpoint that is kept, oldest first. Raises: OSError."""
        ...


class ChainedAuditTrail:
    """Implements `AuditTrail`: to the chain, else to this host's disk.

    Any number of processes may append at once: the store gives each place to one of them, and the
    others take the next. `salt`: gives 32 fresh random bytes.
    """

    def __init__(
        self,
        store: AuditStore,
        spool: Spool,
        checkpoints: Checkpoints,
        observer: Observer,
        *,
        salt: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._spool = spool
        self._checkpoints = checkpoints
        self._observer = observer
        self._salt = salt

    async def record(self, event: AuditEvent) -> None:
        """Keeps the event. Raises: GatewayError(AUDIT_UNAVAILABLE)."""
        try:
            await self._append(event)
        except GatewayError as exc:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=exc.detail))
            self.spool(event)

    def spool(self, event: AuditEvent) -> None:
        """Keeps the event on this host only, without waiting for any network: for the stop.

        Raises: GatewayError(AUDIT_UNAVAILABLE).
        """
        try:
            self._spool.add(event)
        except OSError as exc:
            raise GatewayError(
                Reason.AUDIT_UNAVAILABLE,
                "neither the audit table nor this host's disk takes the entry, so nothing was done",
                fault=Fault.GATEWAY,
                retry_after_s=1.0,
            ) from exc

    async def bring(self) -> int:
        """Puts what waited on this host on the chain, in its order; how many.

        A crash in between repeats some, which the chain does not take twice.
        Raises: GatewayError(AUDIT_UNAVAILABLE); the rest goes on waiting.
        """
        brought = 0
        try:
            for event in self._spool.waiting():
                await self._append(event)
                self._spool.forget(1)
                brought += 1
        except OSError as exc:
            raise GatewayError(
                Reason.AUDIT_UNAVAILABLE, "the audit spool cannot be read", fault=Fault.GATEWAY
            ) from exc
        return brought

    async def last(self) -> AuditEntry | None:
        """The entry the chain ends with now. Raises: GatewayError(AUDIT_UNAVAILABLE)."""
        return await self._store.last(CHAIN)

    def sign(self, entry: AuditEntry) -> None:
        """Signs, on this host, that the chain holds this entry."""
        try:
            self._checkpoints.add(entry)
        except OSError:
            # The entry stands; the next checkpoint covers it.
            self._observer.tell(
                ComponentFailed(component=_COMPONENT, detail="a checkpoint cannot be written")
            )

    async def _append(self, event: AuditEvent) -> None:
        for _ in range(_ATTEMPTS):
            last = await self._store.last(CHAIN)
            entry = next_entry(CHAIN, last, event, self._salt())
            match await self._store.append(entry):
                case Appended.WRITTEN:
                    self.sign(entry)
                    return
                case Appended.KNOWN:
                    return
                case Appended.TAKEN:
                    continue
        raise GatewayError(
            Reason.AUDIT_UNAVAILABLE,
            f"{_ATTEMPTS} others were faster at the end of the audit chain",
            fault=Fault.GATEWAY,
        )
