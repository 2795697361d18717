"""Answers of the admin API that may be asked for again, sealed, for a day."""

from __future__ import annotations

import base64
import json
from typing import Protocol

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.control.ports import AnswerState, KeptAnswer

KEEP_S = 24 * 3600
CLAIM_S = 60
_PREFIX = "gw:answer:"
_ATTEMPTS = 3


class Seals(Protocol):
    """Makes bytes unreadable without the master key, each for one purpose."""

    def seal_bytes(self, content: bytes, bound_to: bytes) -> bytes:
        """The content, sealed and bound to what it is about."""
        ...

    def open_bytes(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """The content; None if it is not what was sealed, or about something else."""
        ...


class RedisAnswers:
    """Implements `control.ports.AnswerStore`. Each request is one key, whose life Redis ends.

    A claim that nobody fulfilled ends after a minute: who made it has crashed or lost Redis.
    """

    def __init__(self, client: Client, seals: Seals) -> None:
        self._client = client
        self._seals = seals

    async def begin(self, name: str, fingerprint: str) -> AnswerState | KeptAnswer:
        """Claims the name if it is free; else what is known. Raises: GatewayError."""
        key = _PREFIX + name
        claim = json.dumps({"of": fingerprint})
        for _ in range(_ATTEMPTS):
            try:
                if await self._client.set(key, claim, nx=True, ex=CLAIM_S):
                    return AnswerState.FRESH
                stored = await self._client.get(key)
            except (RedisError, OSError) as exc:
                raise unavailable("it is not known whether this was answered before") from exc
            if stored is not None:
                return self._read(name, fingerprint, stored)
        raise unavailable("it is not known whether this was answered before")

    async def keep(self, name: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keeps the answer for a day. Raises: GatewayError."""
        content = {
            "status": answer.status,
            "headers": answer.headers,
            "body": base64.b64encode(answer.body).decode(),
        }
        sealed = self._seals.seal_bytes(json.dumps(content).encode(), name.encode())
        stored = json.dumps({"of": fingerprint, "answer": base64.b64encode(sealed).decode()})
        try:
            await self._client.set(_PREFIX + name, stored, ex=KEEP_S)
        except (RedisError, OSError) as exc:
            raise unavailable("the answer could not be kept") from exc

    async def release(self, name: str) -> None:
        """Frees the name. Raises: GatewayError."""
        try:
            await self._client.delete(_PREFIX + name)
        except (RedisError, OSError) as exc:
            raise unavailable("the claim could not be taken back") from exc

    def _read(self, name: str, fingerprint: str, stored: bytes | str) -> AnswerState | KeptAnswer:
        document = json.loads(stored)
        if document["of"] != fingerprint:
            return AnswerState.OTHER
        if "answer" not in document:
            return AnswerState.RUNNING
        sealed = base64.b64decode(document["answer"])
        opened = self._seals.open_bytes(sealed, name.encode())
        if opened is None:
            # Another master key, or tampering: nothing that may be handed out, nor done again.
            return AnswerState.OTHER
        content = json.loads(opened)
        return KeptAnswer(
            status=content["status"],
            headers=tuple((str(key), str(value)) for key, value in content["headers"]),
            body=base64.b64decode(content["body"]),
        )
