"""The operator: publishes policies, stops and resumes, and rebuilds a ledger from the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Seen, SeenKind
from gateway.domain.scope import Scope
from tests.simulation.gateways import Process, Surroundings, make_flusher
from tests.simulation.network import RemoteRedis
from tests.simulation.rules import ORG

if TYPE_CHECKING:
    from tests.simulation.dynamo_model import DynamoModel

_STOPPED = Scope.parse(f"org/{ORG}/team/ops")
_ATTEMPTS = 5
_KEEP_MS = 40 * 86_400_000


class Operator(Process):
    """Acts on the ledger's control copy."""

    def __init__(self, world: Surroundings, name: str) -> None:
        super().__init__(world, name)
        self.is_stopped = False
        self.epoch = 0

    def _start(self) -> None:
        client: Any = RemoteRedis(self.world.network, self.life)
        self._control = RedisLedgerControl(client)
        self._rebuild = RedisRebuild(client)
        self._flusher = make_flusher(self, self.name, lane=2)

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

    def rebuild(self) -> None:
        """Sets the accounts to what the books say, under the next epoch."""
        self.epoch += 1
        self.begin("rebuild", lambda: self._rebuilt(self.epoch))

    async def _rebuilt(self, epoch: int) -> None:
        if not await self._rebuild.begin(epoch):
            return
        for _ in range(_ATTEMPTS):
            position = await self._rebuild.position()
            while await self._flusher.flush_once():
                pass
            rows = rows_of(account_sums(self.world.dynamo))
            if await self._rebuild.put(epoch, position, rows):
                await self._rebuild.finish(epoch)
                return


def account_sums(dynamo: DynamoModel) -> dict[str, tuple[int, int]]:
    """Posted and overrun of each account as the books have it, over all lanes of its row."""
    sums: dict[str, tuple[int, int]] = {}
    for (_, sort_key), item in dynamo.tables["ledger_accounts"].items():
        key = sort_key.partition("#")[2]
        posted, overrun = (
            int(item[name]["N"]) if name in item else 0 for name in ("posted", "overrun")
        )
        known = sums.get(key, (0, 0))
        sums[key] = (known[0] + posted, known[1] + overrun)
    return sums


def recorded_in(dynamo: DynamoModel, account: str) -> dict[RequestId, int]:
    """What each call's record charges an account."""
    return {
        RequestId(key[0]): int(item["cost_nano_usd"]["N"])
        for key, item in dynamo.tables["token_usage"].items()
        if {"S": account} in item["accounts"]["L"]
    }


def rows_of(sums: dict[str, tuple[int, int]]) -> list[AccountRow]:
    """The books as the rebuild reads them."""
    return [
        AccountRow(key=key, posted=posted, overrun=overrun, keep_ms=_KEEP_MS)
        for key, (posted, overrun) in sorted(sums.items())
    ]
