"""Sets the accounts of a ledger that lost them to what the books say, before anybody spends.

A ledger that was emptied, replaced by a new server or restored from an old file has no epoch, or an
old mark: whoever asks it to hold money is refused. One builder at a time acts on a shard (a lease),
under an epoch that was never used before: so a builder that was taken for dead sets nothing any
more once another has begun.

The order: begin (admission is closed) → wait until every living gateway has told again what it
remembers → end what is overdue → flush the journal → read the books → put → finish. If the journal
went on meanwhile, the ledger refuses the rows, and the last steps are done once more.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.admission.ports import (
    AccountRow,
    AccountRows,
    DueHolds,
    LedgerEpoch,
    LedgerEpochs,
    Mark,
    NotedEpoch,
    Rebuild,
)
from gateway.domain.errors import GatewayError
from gateway.domain.observer import (
    ComponentFailed,
    ComponentRecovered,
    Observer,
    UnexpectedError,
)

_COMPONENT = "ledger_builder"
_OVERDUE_AT_ONCE = 500
_JITTER = 0.2


class ShardJournal(Protocol):
    """The way of one shard's records to the books."""

    async def flush_once(self) -> int:
        """Brings one helping to the books; how many that were."""
        ...

    async def backlog(self) -> int:
        """How many records are not known to be in the books."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildBounds:
    """Units: seconds, milliseconds. How often to look, how long to wait, what is too old.

    `heartbeat_s`: within this every living gateway has told what it remembers. `oldest_s`: a server
    that went back by more has forgotten what its gateways no longer remember, either.
    """

    look_s: float = 1.0
    heartbeat_s: float = 6.0
    again_s: float = 0.1
    mark_s: float = 10.0
    oldest_s: float = 60.0
    lease_ms: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """What a builder works on: one shard of the ledger, its way to the books, and the books."""

    shard: str
    ledger: Rebuild
    holds: DueHolds
    journal: ShardJournal
    rows: AccountRows
    epochs: LedgerEpochs


class LedgerBuilder:
    """Looks after one shard. Any number may run, on any hosts; `who` names this one among them."""

    def __init__(
        self,
        builds: Builds,
        observer: Observer,
        *,
        who: str,
        bounds: BuildBounds | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._on = builds
        self._observer = observer
        self._who = who
        self._bounds = bounds or BuildBounds()
        self._sleep = sleep
        self._chance = chance
        self._seen = Mark()
        self._looks_to_mark = 0

    @property
    def shard(self) -> str:
        """Which shard it looks after."""
        return self._on.shard

    async def run(self) -> None:
        """Looks until cancelled. What does not answer is told and asked again."""
        while True:
            try:
                await self.look()
            except GatewayError as error:
                self._tell(error.detail)
            except Exception:  # noqa: BLE001 - admission waits: a bug is told, and must not end it
                self._observer.tell(
                    UnexpectedError(
                        request_id=None, where=_COMPONENT, traceback=traceback.format_exc()
                    )
                )
            await self._sleep(self._bounds.look_s * (1 + _JITTER * self._chance()))

    async def look(self) -> bool:
        """One look: whether it has set the accounts. Raises: GatewayError."""
        state = await self._on.ledger.state()
        why = await self._why_to_build(state)
        if why is None:
            await self._leave_mark(state)
            return False
        if not await self._on.ledger.leads(self._who, self._bounds.lease_ms):
            return False
        noted = await self._on.epochs.noted(self._on.shard)
        if not await self._is_brand_new(noted, state):
            self._tell(f"shard {self._on.shard}: {why}; they are set from the books")
        return await self._build_leading() is not None

    async def rebuild(self) -> int | None:
        """Sets the accounts now, whatever they say; under which epoch. Raises: GatewayError.

        None: somebody else is at it, or took over.
        """
        if not await self._on.ledger.leads(self._who, self._bounds.lease_ms):
            return None
        return await self._build_leading()

    async def _why_to_build(self, state: LedgerEpoch) -> str | None:
        if state.building is not None:
            return "somebody began to set its accounts and did not finish"
        if state.number is None:
            return "it has no accounts that anybody vouches for"
        if self._looks_to_mark <= 0:
            self._seen = max(self._seen, (await self._on.epochs.noted(self._on.shard)).mark)
        if self._seen.epoch > state.number:
            return f"its server went back from epoch {self._seen.epoch} to {state.number}"
        behind_s = (self._seen.at_ms - state.mark_ms) / 1000
        if self._seen.epoch == state.number and behind_s > self._bounds.oldest_s:
            return f"its server went back by {behind_s:.0f} s"
        return None

    async def _leave_mark(self, state: LedgerEpoch) -> None:
        """In the ledger first: what is noted outside was in the ledger once."""
        self._looks_to_mark -= 1
        if self._looks_to_mark >= 0 or state.number is None:
            return
        mark_ms = await self._on.ledger.mark(state.number)
        if mark_ms is None:
            return
        mark = Mark(epoch=state.number, at_ms=mark_ms)
        await self._on.epochs.note_mark(self._on.shard, mark)
        self._seen = max(self._seen, mark)
        self._looks_to_mark = round(self._bounds.mark_s / self._bounds.look_s)

    async def _build_leading(self) -> int | None:
        """Builds, and stays the one who may for as long as that takes."""
        staying = asyncio.create_task(self._keep_lease())
        try:
            return await self._build()
        finally:
            staying.cancel()
            await asyncio.wait({staying})

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._bounds.lease_ms / 3000)
            try:
                await self._on.ledger.leads(self._who, self._bounds.lease_ms)
            except GatewayError:
                continue  # whoever needs the ledger notices

    async def _build(self) -> int | None:
        noted, state = await self._on.epochs.noted(self._on.shard), await self._on.ledger.state()
        highest = max(noted.number, state.number or 0, state.building or 0)
        epoch = await self._on.epochs.next(self._on.shard, highest)
        if not await self._on.ledger.begin(epoch):
            return None
        if not await self._is_brand_new(noted, state):
            await self._sleep(self._bounds.heartbeat_s)
        while not await self._put(epoch):
            if (await self._on.ledger.state()).building != epoch:
                return None
            await self._sleep(self._bounds.again_s)
        if not await self._on.ledger.finish(epoch):
            return None
        self._looks_to_mark = 0
        await self._leave_mark(await self._on.ledger.state())
        self._observer.tell(ComponentRecovered(component=_COMPONENT))
        return epoch

    async def _is_brand_new(self, noted: NotedEpoch, state: LedgerEpoch) -> bool:
        """Whether this installation has never held money, so that nobody has anything to tell."""
        if noted.number or state.number is not None or await self._on.journal.backlog():
            return False
        return not await self._on.rows.rows(self._on.shard)

    async def _put(self, epoch: int) -> bool:
        """Flushes, reads and puts once; whether the ledger took it. A store that is away: no."""
        try:
            while await self._on.holds.expire_due(_OVERDUE_AT_ONCE):
                pass
            position = await self._on.ledger.position()
            rows = await self._read()
            return rows is not None and await self._on.ledger.put(epoch, position, rows)
        except GatewayError as error:
            self._tell(error.detail)
            return False

    async def _read(self) -> list[AccountRow] | None:
        """The books, once they hold all that was journalled; None: they do not yet."""
        while await self._on.journal.flush_once():
            pass
        if await self._on.journal.backlog():
            return None  # another flusher is at it
        return list(await self._on.rows.rows(self._on.shard))

    def _tell(self, detail: str) -> None:
        self._observer.tell(ComponentFailed(component=_COMPONENT, detail=detail))
