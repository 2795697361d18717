"""F-K1: the emergency stop, measured from outside: when does the last byte come, the last success?

Four proxy processes under load with open streams; in most trials some of them are frozen, or cut
off from Redis, before the stop or at the same moment. The clock starts when the write is issued.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from gateway.adapters.files.stop_file import StopFiles
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.system import SystemClock
from gateway.bedrock.event_frame import CorruptFrame, FrameDecoder
from gateway.control.emergency import asked_stop
from gateway.domain.scope import Scope
from gateway.workers.emergency import Emergency
from tests.chaos.callers import NOVA, body_of, percentile
from tests.chaos.conftest import host_and_port
from tests.chaos.installation import Ways, children_of, installation
from tests.chaos.split_ways import split_ways
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import until
from tests.fakes.dynamodb_front import dynamodb_front

WORKERS = 4
STREAMS = 8
WITHIN_S = 1.0
POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 1000}
models: {allow: ["*"]}
"""


@dataclass
class Stream:
    """One caller of a stream. Instants of the event loop's clock; `end`: how it ended."""

    last_byte_s: float = 0.0
    ended_s: float = 0.0
    exception: str | None = None
    is_clean: bool = False
    events: int = 0


@dataclass
class Load:
    """Streams that never end by themselves, and callers who ask again and again."""

    url: str
    bearer: str
    session: aiohttp.ClientSession
    streams: list[Stream] = field(default_factory=list)
    last_success_s: float = 0.0
    successes: int = 0
    refusals: int = 0
    is_up: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, streams: int, callers: int) -> None:
        self.streams = [Stream() for _ in range(streams)]
        self.successes = self.refusals = 0
        self.is_up = False
        work = [self._read(stream) for stream in self.streams]
        work += [self._ask_on() for _ in range(callers)]
        self.tasks = {asyncio.create_task(one) for one in work}

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)

    def _post(self, operation: str, **sim: object):
        return self.session.post(
            f"{self.url}/model/{NOVA}/{operation}",
            json=body_of("", sim),
            headers={"Authorization": f"Bearer {self.bearer}"},
            timeout=aiohttp.ClientTimeout(total=60),
        )

    async def _read(self, stream: Stream) -> None:
        """Reads one stream to its end; until all run, one that is refused is asked for again."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(aiohttp.ClientError, CorruptFrame, OSError):
                async with self._post(
                    "converse-stream", output=390, events=390, pace_ms=80
                ) as answer:
                    if answer.status == 200:
                        await self._take(stream, answer)
            if self.is_up:
                break
            stream.events = 0
            await asyncio.sleep(0.1)
        stream.ended_s = loop.time()

    async def _take(self, stream: Stream, answer: aiohttp.ClientResponse) -> None:
        loop, decoder = asyncio.get_running_loop(), FrameDecoder()
        async for chunk in answer.content.iter_any():
            stream.last_byte_s = loop.time()
            for frame in decoder.feed(chunk):
                stream.events += 1
                kind = frame.header(":exception-type")
                stream.exception = str(kind) if kind else stream.exception
        stream.is_clean = True

    async def _ask_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with self._post("converse", output=5, delay_ms=40) as answer:
                    await answer.read()
                    if answer.status == 200:
                        self.last_success_s, self.successes = loop.time(), self.successes + 1
                    else:
                        self.refusals += 1
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Trial:
    """What one stop did. Units: seconds from the instant its write was issued."""

    last_byte_s: float
    last_success_s: float
    last_end_s: float
    took_s: float
    frozen: int
    cut: int
    by_file: bool
    exceptions: int


@pytest.fixture
async def house(simulated, surroundings, tmp_path, say):
    """A supervisor with four proxies behind ways that can be cut one by one."""
    names = ("GATEWAY_REDIS_URL", "GATEWAY_DYNAMODB_ENDPOINT", "GATEWAY_TABLE_PREFIX")
    stores = {name: surroundings[name] for name in names}
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            split_ways(*host_and_port(surroundings["GATEWAY_REDIS_URL"]))
        )
        bedrock = await stack.enter_async_context(tcp_proxy(*host_and_port(simulated.url)))
        dynamodb = await stack.enter_async_context(
            dynamodb_front(surroundings["GATEWAY_DYNAMODB_ENDPOINT"])
        )
        ways = Ways(redis=redis, bedrock=bedrock, dynamodb=dynamodb)
        running = installation(
            ways,
            simulated,
            stores,
            tmp_path,
            say,
            policy=POLICY,
            workers=WORKERS,
            drain_timeout_s=5,
        )
        redis.processes = grandchildren
        yield await stack.enter_async_context(running)


def grandchildren() -> list[int]:
    """The processes of all supervisors that this test started."""
    return [pid for child in children_of(os.getpid()) for pid in children_of(child)]


async def one_trial(house, load, dice, elsewhere: Path) -> Trial:
    loop = asyncio.get_running_loop()
    await until(lambda: len(house.pids("proxy")) == WORKERS, within_s=120)
    await house.until_ready()
    load.begin(STREAMS, 3)
    await until(
        lambda: load.successes > 4 and all(stream.events > 2 for stream in load.streams),
        within_s=180,
    )
    load.is_up = True
    proxies = house.pids("proxy")
    dice.shuffle(proxies)
    frozen = proxies[: dice.choice([0, 1, 1, 2])]
    cut = proxies[len(frozen) :][: dice.choice([0, 0, 1, 2])]
    by_file = dice.random() < 0.5
    house.ways.redis.cut(cut)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(dice.choice([0, 0.05, 0.3, 0.8]))

    folder = house.settings.state_dir / "stop" if by_file else elsewhere
    client = connect(house.ledger_url, timeout_s=5, connect_timeout_s=5)
    emergency = Emergency(RedisLedgerControl(client), StopFiles(folder), SystemClock())
    try:
        scope = dice.choice(["platform", "org/acme", "org/acme/team/web"])
        stop = asked_stop(scope=scope, by="test", why="a drill", now=SystemClock().now())
        issued_s = loop.time()
        outcome = await emergency.stop(stop)
        assert outcome.is_done, outcome
        await until(lambda: all(stream.ended_s for stream in load.streams), within_s=10)
        # Who comes afterwards is refused, for as long as the stop stands.
        await asyncio.sleep(max(0.0, issued_s + 1.5 - loop.time()))
        await load.end()
        assert (await emergency.restore(Scope.parse(scope))).is_done
    finally:
        await client.aclose()
        house.ways.redis.clear()
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    return Trial(
        last_byte_s=max(stream.last_byte_s for stream in load.streams) - issued_s,
        last_success_s=load.last_success_s - issued_s,
        last_end_s=max(stream.ended_s for stream in load.streams) - issued_s,
        took_s=outcome.took_s,
        frozen=len(frozen),
        cut=len(cut),
        by_file=by_file,
        exceptions=sum(
            stream.exception == "serviceUnavailableException" for stream in load.streams
        ),
    )


@pytest.mark.timeout(7200)
async def test_f_k1_a_stop_ends_all_calls_on_every_process_within_a_second(
    house, is_long, say, tmp_path
):
    trials: list[Trial] = []
    dice = random.Random(11)
    bearer = await house.bearer()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        load = Load(house.url, bearer, session)
        for _ in range(int(os.environ.get("TRIALS", "200" if is_long else "8"))):
            trial = await one_trial(house, load, dice, tmp_path / "elsewhere")
            trials.append(trial)
            unnoticed = [s for s in load.streams if s.is_clean and not s.exception]
            assert unnoticed == [], "a stream that was cut looks like one that ended well"
            if not trial.frozen:
                assert trial.exceptions == STREAMS, trial
            if len(trials) % 25 == 0:
                say(*distribution(trials))
    say(*distribution(trials))
    late = [trial for trial in trials if max(trial.last_byte_s, trial.last_success_s) >= WITHIN_S]
    assert late == []


def distribution(trials: list[Trial]) -> list[str]:
    """p50, p99 and the largest of everything that was measured, over all trials."""
    lines = [
        (
            f"{len(trials)} trials, {sum(t.frozen for t in trials)} processes frozen, "
            f"{sum(t.cut for t in trials)} cut off from Redis, "
            f"{sum(t.by_file for t in trials)} stops given on this host"
        ),
        "milliseconds after the write was issued          p50     p99     max",
    ]
    for name, values in (
        ("last byte of a stream", [t.last_byte_s for t in trials]),
        ("last successful answer", [t.last_success_s for t in trials]),
        ("last connection closed", [t.last_end_s for t in trials]),
        ("the command itself", [t.took_s for t in trials]),
    ):
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        lines.append(f"  {name:42} {p50:8.0f}{p99:8.0f}{1000 * max(values):8.0f}")
    return lines
