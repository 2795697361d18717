"""Who brings records to DynamoDB in a simulated installation."""

from __future__ import annotations

from typing import Any

from gateway.adapters.dynamodb.dead_letters import DynamoDeadLetters
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.workers.journal_flusher import JournalFlusher
from tests.simulation.gateways import Process, Surroundings
from tests.simulation.network import NOW, RemoteDynamoDb, RemoteRedis


class Flusher(Process):
    """Brings records to DynamoDB."""

    def __init__(self, world: Surroundings, name: str, lane: int) -> None:
        super().__init__(world, name)
        self.lane = lane

    def _start(self) -> None:
        self.flusher = make_flusher(self, self.name, lane=self.lane)

    def flush(self) -> None:
        self.begin("flush", self.flusher.flush_once)


def make_flusher(process: Process, consumer: str, *, lane: int) -> JournalFlusher:
    """A flusher that runs in a process."""
    world = process.world
    redis: Any = RemoteRedis(world.network, process.life)
    dynamo: Any = RemoteDynamoDb(world.network, process.life)
    # A consumer that nobody waits for: what the other one is writing is taken for left behind.
    stream = RedisJournalStream(redis, consumer, dead_after_ms=0, now_ms=lambda: int(NOW))
    table = DynamoUsageTable(dynamo, Place(prefix="", lane=lane), chance=world.chance)
    letters = DynamoDeadLetters(dynamo, "dead_letters")
    return JournalFlusher(stream, table, letters, process, chance=world.chance)
