"""Callers over HTTP: many at once, and some who leave early."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
GONE = 0
"""The status of a call whose answer did not come whole."""


@dataclass(frozen=True)
class Saw:
    """What one caller got. Units: seconds. `body` empty if it was cut."""

    status: int
    body: bytes
    headers: dict[str, str]
    seconds: float

    @property
    def reason(self) -> str | None:
        return self.headers.get("x-gateway-reason")


@dataclass
class Callers:
    """Makes calls with one key. Closes with its context."""

    url: str
    bearer: str
    session: aiohttp.ClientSession
    saw: list[Saw] = field(default_factory=list)

    async def converse(self, *, text: str = "", timeout_s: float = 30.0, **sim: object) -> Saw:
        return await self._call("converse", text, timeout_s, sim)

    async def stream(self, *, text: str = "", timeout_s: float = 30.0, **sim: object) -> Saw:
        return await self._call("converse-stream", text, timeout_s, sim)

    async def _call(
        self, operation: str, text: str, timeout_s: float, sim: dict[str, object]
    ) -> Saw:
        started_s = time.perf_counter()
        saw = Saw(GONE, b"", {}, 0.0)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            async with (
                asyncio.timeout(timeout_s),
                self.session.post(
                    f"{self.url}/model/{NOVA}/{operation}",
                    json=body_of(text, sim),
                    headers={"Authorization": f"Bearer {self.bearer}"},
                ) as answer,
            ):
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body = await answer.read()
                saw = Saw(answer.status, body, headers, time.perf_counter() - started_s)
        self.saw.append(saw)
        return saw

    async def crowd(self, count: int, *, at_once: int, seed: int = 1) -> Counter[int]:
        """Many mixed calls: whole and streamed, some refused by Bedrock, some abandoned."""
        rng = random.Random(seed)
        kinds = [rng.choice(_KINDS) for _ in range(count)]
        gate = asyncio.Semaphore(at_once)

        async def one(kind: dict[str, object]) -> int:
            asked = dict(kind)
            streams, patience_s = asked.pop("streams"), asked.pop("patience_s", 30.0)
            async with gate:
                call = self.stream if streams else self.converse
                return (await call(timeout_s=patience_s, **asked)).status  # type: ignore[arg-type]  # by the table below

        return Counter(await asyncio.gather(*(one(kind) for kind in kinds)))


_KINDS: Sequence[dict[str, object]] = (
    {"streams": False, "output": 30},
    {"streams": False, "output": 200, "delay_ms": 20},
    {"streams": True, "output": 60, "events": 6, "pace_ms": 3},
    {"streams": True, "output": 60, "events": 30, "pace_ms": 5, "patience_s": 0.08},
    {"streams": False, "error": "ThrottlingException"},
    {"streams": True, "output": 50, "cut_after": 2},
    {"streams": False, "error": "InternalServerException"},
)


def body_of(text: str, sim: dict[str, object]) -> dict[str, object]:
    """The JSON of a Converse call that asks the simulator for this."""
    marker = sim_marker(**sim) if sim else ""
    return {"messages": user_says(f"{text} {marker}"), "inferenceConfig": {"maxTokens": 400}}


@contextlib.asynccontextmanager
async def callers(url: str, bearer: str):
    """Callers of the gateway at this address."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Callers(url, bearer, session)


def percentile(seconds: Sequence[float], share: float) -> float:
    """The value that so much of the sample does not exceed. Units: milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
