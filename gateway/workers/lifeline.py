"""A child's end of the line to its supervisor.

The child says `ready` once it serves, then `beat N` ten times a second, where N is the last word of
the supervisor that it has acted upon. The supervisor says `{"number": N, "stops": […]}` whenever
what is stopped changes. When the supervisor dies, by whatever signal, the child reads the end of
the line and drains. One message a line, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from gateway.domain.stop import Stop, UnreadableStop, decode_stop, encode_stop

LIFELINE_VARIABLE = "BEDROCK_GATEWAY_LIFELINE_FD"
BEAT_S = 0.1
_READY = b"ready\n"
_PIECE_BYTES = 64 * 1024

Listener = Callable[[Sequence[Stop]], None]


class Lifeline:
    """Does nothing where there is no supervisor.

    Beats come from the event loop, so that one that is stuck, and could cut no stream, is silent.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        number = environment.get(LIFELINE_VARIABLE)
        self._socket = socket.socket(fileno=int(number)) if number else None
        self._listener: Listener | None = None
        self._attending: asyncio.Task[None] | None = None
        self._acted_upon = 0
        if self._socket is not None:
            self._socket.settimeout(0)
            os.set_inheritable(self._socket.fileno(), False)  # noqa: FBT003 - the standard library takes it by position

    def listen(self, listener: Listener) -> None:
        """Who acts upon the stops that the supervisor sees. It must not wait."""
        self._listener = listener

    def tell_ready(self) -> None:
        """Says that this process serves."""
        self._send(_READY)

    def close(self) -> None:
        """Lets go of the line: this process ends."""
        if self._attending is not None:
            self._attending.cancel()
        if self._socket is not None:
            self._socket.close()

    async def broken(self) -> None:
        """Returns when the supervisor is gone; never, if there is none.

        From the first call on, whoever waits and until the line is closed, this end beats and
        listens: a process that drains its calls has to hear of a stop as well.
        """
        if self._socket is None:
            await asyncio.Event().wait()
            return
        if self._attending is None:
            self._attending = asyncio.create_task(self._attend(self._socket))
        await asyncio.shield(self._attending)

    async def _attend(self, line: socket.socket) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await self._read(line)
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._send(b"beat %d\n" % self._acted_upon)
            await asyncio.sleep(BEAT_S)

    async def _read(self, line: socket.socket) -> None:
        pending = b""
        with contextlib.suppress(OSError):
            while piece := await asyncio.get_running_loop().sock_recv(line, _PIECE_BYTES):
                *words, pending = (pending + piece).split(b"\n")
                for word in words:
                    self._act_upon(word)

    def _act_upon(self, word: bytes) -> None:
        if self._listener is None:
            return
        number, stops = parse_word(word)
        self._listener(stops)
        self._acted_upon = number
        self._send(b"beat %d\n" % number)

    def _send(self, message: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a supervisor that is gone is noticed by `broken`
                self._socket.send(message)


def word_of(number: int, stops: Sequence[Stop]) -> bytes:
    """What the supervisor says of all stops that stand, as one line."""
    document = {"number": number, "stops": [encode_stop(stop) for stop in stops]}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def parse_word(word: bytes) -> tuple[int, tuple[Stop, ...]]:
    """What the supervisor said. Both ends are of one release: anything else is a bug of ours.

    Raises: ValueError.
    """
    try:
        document = json.loads(word)
        return int(document["number"]), tuple(decode_stop(text) for text in document["stops"])
    except (KeyError, TypeError, UnreadableStop) as exc:
        raise ValueError("the supervisor says what is no list of stops") from exc
