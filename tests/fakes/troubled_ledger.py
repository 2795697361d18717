"""The reference ledger behind a line that can be slow, cut, or lose a reply."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any

from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason


class Trouble(Enum):
    """What happens to one command."""

    REQUEST_LOST = auto()
    REPLY_LOST = auto()


def away() -> GatewayError:
    return GatewayError(Reason.LEDGER_UNAVAILABLE, "away", fault=Fault.GATEWAY, retry_after_s=1)


class TroubledLedger:
    """Implements `Ledger`. `troubles` are used up one a command; an Exception is raised as it is.

    None among them: that command has no trouble.
    `entered[name]` is set when a command arrives, and `gates[name]` holds it up before it runs.
    """

    def __init__(self, clock: Clock) -> None:
        self.books = ReferenceLedger(now_ms=lambda: round(clock.now().timestamp() * 1000))
        self.commands: list[tuple[str, str]] = []
        self.troubles: dict[str, list[Trouble | Exception | None]] = defaultdict(list)
        self.entered: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.gates: dict[str, asyncio.Event] = {}

    def hold_up(self, name: str) -> asyncio.Event:
        """Stops the command of this name at its arrival until the event is set."""
        self.gates[name] = asyncio.Event()
        return self.gates[name]

    async def reserve(self, plan):
        return await self._run("reserve", plan.request_id, lambda: self.books.reserve(plan))

    async def post(self, posting):
        return await self._run("post", posting.request_id, lambda: self.books.post(posting))

    async def void(self, request_id):
        return await self._run("void", request_id, lambda: self.books.void(request_id))

    async def _run(self, name: str, request_id: str, step: Callable[[], Awaitable[Any]]) -> Any:
        self.commands.append((name, request_id))
        self.entered[name].set()
        if name in self.gates:
            await self.gates[name].wait()
        trouble = self.troubles[name].pop(0) if self.troubles[name] else None
        if trouble is Trouble.REQUEST_LOST:
            raise away()
        if isinstance(trouble, Exception):
            raise trouble
        result = await step()
        if trouble is Trouble.REPLY_LOST:
            raise away()
        return result

    @property
    def pending(self) -> int:
        """Money that is held now."""
        return sum(balance.pending for balance in self.books.balances.values())

    @property
    def posted(self) -> int:
        """Money that is spent."""
        return sum(balance.posted for balance in self.books.balances.values())

    def state(self, request_id: str) -> HoldState | None:
        hold = self.books.holds.get(request_id)
        return hold.state if hold is not None else None

    def count(self, name: str) -> int:
        return sum(1 for command, _ in self.commands if command == name)
