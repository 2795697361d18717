"""The network between the processes and their stores: everything on it waits for the world.

A message is one command on its way. The world decides when it arrives, and what is lost on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.fakes.dynamodb import client_error
from tests.simulation.loop import Life
from tests.simulation.trace import Trace

NOW = "4242424242424242"
"""Stands in a command where the server's clock is to be read when the command arrives."""


_WITHOUT_ECHO = ("_due", "_acknowledge")


class Fate(Enum):
    """What becomes of one message."""

    ARRIVES = auto()
    REQUEST_LOST = auto()
    REPLY_LOST = auto()
    LATE = auto()  # its sender gives up; it arrives some time later all the same
    TWICE = auto()
    REFUSED = auto()  # by a server that has become a replica, or is throttled
    FOREIGN_REPLY = auto()


class Store(Enum):
    """Where a message goes."""

    REDIS = "redis"
    DYNAMODB = "dynamodb"


@dataclass(slots=True, eq=False)
class Message:
    """One command. `reply` None: nobody waits for it any more."""

    number: int
    sender: Life
    store: Store
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reply: asyncio.Future[Any] | None

    @property
    def is_awaited(self) -> bool:
        """Whether an answer would be heard."""
        return self.reply is not None and not self.sender.is_dead and not self.reply.done()

    @property
    def is_call(self) -> bool:
        """Whether it calls a function of the ledger."""
        return self.name == "execute_command" and self.args[0] == "FCALL"

    @property
    def is_echoed(self) -> bool:
        """Whether its reply says whose it is."""
        return self.is_call and not self.args[1].endswith(_WITHOUT_ECHO)

    def __str__(self) -> str:
        name, keys = self.name, self.args if self.is_call else ()
        if keys:
            name = str(keys[1]).rpartition("_")[2]
        holds = [str(key).partition(":hold:")[2] for key in keys if ":hold:" in str(key)]
        return " ".join([self.sender.name, name, *holds])


class Network:
    """All messages that are under way, in the order of their sending."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, trace: Trace, run: Callable[[Message], Any]
    ) -> None:
        self.flying: list[Message] = []
        self._loop = loop
        self._trace = trace
        self._run = run
        self._sent = 0
        self._last_reply: Any = [b"another", b"POSTED", b""]

    async def send(
        self, sender: Life, store: Store, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The reply, when the world lets it come."""
        self._sent += 1
        reply: asyncio.Future[Any] = self._loop.create_future()
        self.flying.append(Message(self._sent, sender, store, name, args, kwargs, reply))
        return await reply

    def deliver(self, message: Message, fate: Fate = Fate.ARRIVES) -> None:
        """Lets one message meet its fate."""
        self._trace.tell(f"{message.store.value} {fate.name.lower()}", str(message))
        if fate is Fate.LATE and message.is_awaited:
            self._fail(message)
            message.reply = None
            return
        self.flying.remove(message)
        if fate is Fate.REQUEST_LOST:
            self._fail(message)
            return
        if fate is Fate.REFUSED:
            self._fail(message, refused=True)
            return
        result = self._executed(message)
        if fate is Fate.TWICE:
            self._executed(message)
        if fate is Fate.REPLY_LOST:
            self._fail(message)
        elif message.is_awaited and message.reply is not None:
            if fate is Fate.FOREIGN_REPLY and message.is_echoed:
                result = self._last_reply
            if isinstance(result, Exception):
                message.reply.set_exception(result)
            else:
                message.reply.set_result(result)

    def drop_of(self, life: Life, chance: Callable[[], float]) -> None:
        """Its sender has died: some of what it sent is on the wire all the same."""
        for message in [m for m in self.flying if m.sender is life]:
            message.reply = None
            if chance() < 0.5:
                self.flying.remove(message)
                self._trace.tell("never sent", str(message))

    def _executed(self, message: Message) -> Any:
        try:
            result = self._run(message)
        except Exception as exc:  # noqa: BLE001 - what a server answers is its client's concern
            return exc
        if isinstance(result, list) and result and isinstance(result[0], bytes):
            self._last_reply = result
        return result

    def _fail(self, message: Message, *, refused: bool = False) -> None:
        if not message.is_awaited or message.reply is None:
            return
        if message.store is Store.REDIS:
            lost = ReadOnlyError("READONLY") if refused else RedisTimeoutError("no answer")
            message.reply.set_exception(lost)
        elif refused:
            code = "ProvisionedThroughputExceededException"
            message.reply.set_exception(client_error(code))
        else:
            message.reply.set_exception(TimeoutError("no answer"))


class _Pool:
    async def disconnect(self) -> None:
        """Nothing is connected here."""


class RemoteRedis:
    """What the ledger takes for its Redis client. Commands are methods, as in redis-py."""

    def __init__(self, network: Network, life: Life) -> None:
        self._network = network
        self._life = life
        self.connection_pool = _Pool()

    def get_connection_kwargs(self) -> dict[str, Any]:
        return {"socket_timeout": 0.1}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def command(*args: Any, **kwargs: Any) -> Any:
            return self._network.send(self._life, Store.REDIS, name, args, kwargs)

        return command


class RemoteDynamoDb:
    """What the tables take for their DynamoDB client."""

    def __init__(self, network: Network, life: Life) -> None:
        self._network = network
        self._life = life

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def command(**kwargs: Any) -> Any:
            return self._network.send(self._life, Store.DYNAMODB, name, (), kwargs)

        return command
