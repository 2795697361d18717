"""The operator, who publishes policies, stops and resumes; and who rebuilds a lost ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.ledger_epochs import DynamoLedgerEpochs
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Seen, SeenKind
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.ledger_builder import Builds, LedgerBuilder
from tests.simulation.flushers import make_flusher
from tests.simulation.gateways import Process, ProcessClock, Surroundings
from tests.simulation.network import NOW, RemoteDynamoDb, RemoteRedis
from tests.simulation.rules import ORG

if TYPE_CHECKING:
    from tests.simulation.dynamo_model import DynamoModel

_STOPPED = Scope.parse(f"org/{ORG}/team/ops")
_DRILL = Stop(scope=_STOPPED, by="operator", why="a drill", since=datetime(2026, 5, 1, tzinfo=UTC))


class Operator(Process):
    """Acts on the ledger's control copy."""

    def __init__(self, world: Surroundings, name: str) -> None:
        super().__init__(world, name)
        self.is_stopped = False

    def _start(self) -> None:
        client: Any = RemoteRedis(self.world.network, self.life)
        self._control = RedisLedgerControl(client)

    def publish(self, version: int) -> None:
        """Makes older plans stale."""
        edition = Seen(kind=SeenKind.POLICY, name=ORG, version=version)
        self.begin(f"publish {version}", lambda: self._control.publish(edition))

    def toggle_stop(self) -> None:
        """Stops a team, or lets it go on."""
        self.is_stopped = not self.is_stopped
        if self.is_stopped:
            self.begin("stop", lambda: self._control.stop(_DRILL))
        else:
            self.begin("resume", lambda: self._control.resume(_STOPPED))

    def open_up(self) -> None:
        """The end of all stops."""
        self.is_stopped = False
        self.begin("resume", lambda: self._control.resume(_STOPPED))


class Builder(Process):
    """Sets the ledger's accounts from the books where they were lost, or when told to."""

    def _start(self) -> None:
        redis: Any = RemoteRedis(self.world.network, self.life)
        dynamo: Any = RemoteDynamoDb(self.world.network, self.life)
        builds = Builds(
            shard="s0",
            ledger=RedisRebuild(redis, now_ms=lambda: int(NOW)),
            holds=RedisLedger(redis, now_ms=lambda: int(NOW)),
            journal=_Journal(
                make_flusher(self, self.name, lane=2),
                RedisJournalStream(redis, self.name),
            ),
            rows=DynamoAccountRows(dynamo, "", ProcessClock(self.world)),
            epochs=DynamoLedgerEpochs(dynamo, ""),
        )
        self._builder = LedgerBuilder(builds, self, who=self.life.name, chance=self.world.chance)

    def look(self) -> None:
        """What it does now and then."""
        self.begin("look", self._builder.look)

    def rebuild(self) -> None:
        """Sets the accounts at a time that nobody expects it."""
        self.begin("rebuild", self._builder.rebuild)


@dataclass(frozen=True, slots=True)
class _Journal:
    flusher: JournalFlusher
    stream: RedisJournalStream

    async def flush_once(self) -> int:
        return await self.flusher.flush_once()

    async def backlog(self) -> int:
        return await self.stream.backlog()


def account_sums(dynamo: DynamoModel) -> dict[str, tuple[int, int]]:
    """Posted and overrun of each account as the books have it, over all lanes of its row."""
    sums: dict[str, tuple[int, int]] = {}
    for (_, sort_key), item in dynamo.tables["ledger_accounts"].items():
        key = sort_key.partition("#")[2]
        if not key:
            continue  # no account: the epochs are counted there
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
