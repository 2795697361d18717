"""The operator: publishes policies, stops and resumes, and rebuilds a ledger from the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow
from gateway.domain.reservation import Seen, SeenKind
from gateway.domain.scope import Scope
from tests.simulation.gateways import Process, Surroundings
from tests.simulation.network import RemoteRedis
from tests.simulation.rules import ORG

if TYPE_CHECKING:
    from collections.abc import Sequence

_STOPPED = Scope.parse(f"org/{ORG}/team/ops")
_KEEP_MS = 40 * 86_400_000


class Operator(Process):
    """Acts on the ledger's control copy."""

    def __init__(self, world: Surroundings, name: str) -> None:
        super().__init__(world, name)
        self.is_stopped = False

    def _start(self) -> None:
        client: Any = RemoteRedis(self.world.network, self.life)
        self._control = RedisLedgerControl(client)
        self._rebuild = RedisRebuild(client)

    def publish(self, version: int) -> None:
        """Makes older plans stale."""
        edition = Seen(kind=SeenKind.POLICY, name=ORG, version=version)
        self.begin(f"publish {version}", lambda: self._control.publish(edition))

    def toggle_stop(self) -> None:
        """Stops a team, or lets it go on."""
        self.is_stopped = not self.is_stopped
        if self.is_stopped:
            self.begin("stop", lambda: self._control.stop(_STOPPED, "a drill"))
        else:
            self.begin("resume", lambda: self._control.resume(_STOPPED))

    def open_up(self) -> None:
        """The end of all stops."""
        self.is_stopped = False
        self.begin("resume", lambda: self._control.resume(_STOPPED))

    def rebuild(self, epoch: int, rows: Sequence[AccountRow]) -> None:
        """Sets the accounts to what the books say."""
        self.begin("rebuild", lambda: self._rebuilt(epoch, rows))

    async def _rebuilt(self, epoch: int, rows: Sequence[AccountRow]) -> None:
        begun = await self._rebuild.begin(epoch)
        assert begun, "each epoch is begun once"
        position = await self._rebuild.position()
        assert await self._rebuild.put(epoch, position, rows), "the journal was flushed"
        assert await self._rebuild.finish(epoch)


def rows_of(sums: dict[str, tuple[int, int]]) -> list[AccountRow]:
    """The books as the rebuild reads them."""
    return [
        AccountRow(key=key, posted=posted, overrun=overrun, keep_ms=_KEEP_MS)
        for key, (posted, overrun) in sorted(sums.items())
    ]
