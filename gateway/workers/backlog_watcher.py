"""Watches how full the journal is, so that it is known before it is too late, and while it is."""

from __future__ import annotations

import asyncio

from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer
from gateway.journal.backlog import (
    Backlog,
    BacklogBounds,
    BacklogGauge,
    BacklogLevel,
    level_of,
    share_of,
)

_COMPONENT = "journal_backlog"
_MEANS = {
    BacklogLevel.HIGH: "records arrive faster than they are written",
    BacklogLevel.SHEDDING: "new records leave out their optional fields",
    BacklogLevel.FULL: "no call is admitted until it is shorter",
}


class BacklogWatcher:
    """Measures the journal until cancelled. `level` is the last answer, read without waiting.

    Every process measures for itself: the stream is the state, so nothing published can be stale.
    A journal that cannot be measured keeps its level: its ledger is away, which ends calls itself.
    An observer is told of each change; who has none only reads `level`.
    """

    def __init__(
        self,
        gauge: BacklogGauge,
        bounds: BacklogBounds | None = None,
        observer: Observer | None = None,
        *,
        every_s: float = 1.0,
    ) -> None:
        self._gauge = gauge
        self._bounds = bounds or BacklogBounds()
        self._observer = observer
        self._every_s = every_s
        self._level = BacklogLevel.NORMAL

    @property
    def level(self) -> BacklogLevel:
        """How full the journal was when it was last measured."""
        return self._level

    async def run(self) -> None:
        """Measures at intervals until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Measures once. Raises nothing for a journal that does not answer."""
        try:
            backlog = await self._gauge.measure()
        except GatewayError:
            return
        before, self._level = self._level, level_of(backlog, self._bounds, self._level)
        if self._level is not before and self._observer is not None:
            self._observer.tell(self._fact(backlog))

    def _fact(self, backlog: Backlog) -> ComponentFailed | ComponentRecovered:
        if self._level is BacklogLevel.NORMAL:
            return ComponentRecovered(component=_COMPONENT)
        share = round(float(share_of(backlog, self._bounds)) * 100)
        return ComponentFailed(
            component=_COMPONENT,
            detail=f"the journal is {share} % full ({backlog.entries} entries, "
            f"{backlog.size_bytes} bytes): {_MEANS[self._level]}",
        )
