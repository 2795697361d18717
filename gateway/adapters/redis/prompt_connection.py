"""Connections whose commands end when whoever waits for them is cancelled.

redis-py sends through `asyncio.wait_for`, which until Python 3.12 loses a cancellation that comes
just when the command has been sent: the loop of a worker that is told to stop then goes on for
ever, and the call of a caller who left goes on unnoticed. These send under `asyncio.timeout`, which
loses none, and spares a task for each command besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_Kind = TypeVar("_Kind", bound=AbstractConnection)


def prompt(kind: type[_Kind]) -> type[_Kind]:
    """This kind of connection, but one that loses no cancellation."""
    return cast("type[_Kind]", type(f"Prompt{kind.__name__}", (_SendsPromptly, kind), {}))


class _SendsPromptly(AbstractConnection):
    """Sends as redis-py does, and closes what was not sent whole, or came to be in doubt."""

    _writer: Any

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - redis-py passes it by position
    ) -> None:
        """Raises: redis.ConnectionError, redis.TimeoutError."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]  # redis-py ships it untyped
        command = command.encode() if isinstance(command, str) else command
        pieces = [command] if isinstance(command, bytes) else command
        try:
            async with asyncio.timeout(self.socket_timeout):
                self._writer.writelines(pieces)
                await self._writer.drain()
        except BaseException as exc:
            await self.disconnect(nowait=True)
            if isinstance(exc, TimeoutError):
                raise RedisTimeoutError("Timeout writing to socket") from None
            if isinstance(exc, OSError):
                raise RedisConnectionError(f"Error while writing to socket: {exc}") from exc
            raise
