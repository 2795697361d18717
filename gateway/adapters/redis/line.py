"""One question to the ledger and its own answer: late, lost and foreign replies end here."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.adapters.redis.connection import Client, drop_connections, unavailable
from gateway.adapters.redis.functions import Functions
from gateway.adapters.redis.questions import Argument
from gateway.adapters.redis.replies import Part, parts

_LATE = (RedisTimeoutError, RedisConnectionError)


class Line:
    """Calls functions that are idempotent and echo their first argument.

    A call that timed out or lost its connection is sent once more, as it was. Whoever is cancelled
    here leaves a closed connection, never an unread reply (redis-py #2665); the echo is checked all
    the same.
    """

    def __init__(self, client: Client, functions: Functions) -> None:
        self._client = client
        self._functions = functions

    async def call(
        self, name: str, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> list[Part]:
        """The reply to these arguments. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        reply = parts(await self.send(name, keys, arguments))
        if not reply or reply[0] != arguments[0]:
            await drop_connections(self._client)
            raise unavailable("the ledger's reply belongs to another request; connections dropped")
        return reply

    async def send(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> object:
        """Whatever is answered. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            try:
                return await self._functions.call(name, keys, arguments)
            except _LATE:
                return await self._functions.call(name, keys, arguments)
        except _LATE as exc:
            raise unavailable("the ledger did not answer in time") from exc
        except ReadOnlyError as exc:
            # The server has become a replica: the next connection shall find the primary.
            await drop_connections(self._client)
            raise unavailable("the ledger is changing its primary") from exc
        except RedisError as exc:
            raise unavailable(f"the ledger refused {name}") from exc
