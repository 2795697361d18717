"""The data plane on a real socket, between a ledger and an upstream in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.authn.authenticator import Authenticator
from gateway.domain.observer import Fact, UnexpectedError
from gateway.policy.parse import parse_policies
from gateway.proxy.accept import Accept, AcceptBounds, BodyBudget
from gateway.proxy.admit import Admit, Rules
from gateway.proxy.authenticate import Authenticate
from gateway.proxy.browse import Browse
from gateway.proxy.drain import Calls, Drains
from gateway.proxy.forward import Forward
from gateway.proxy.handler import Handler, Stages
from gateway.proxy.health import Health
from gateway.proxy.identify import Identify, Profiles
from gateway.proxy.relay import Relay, RelayBounds
from gateway.proxy.running_calls import RunningCalls
from gateway.proxy.server import DataPlaneServer, ServerBounds, listen
from gateway.proxy.settle import Settle
from tests.fakes.calls import HAIKU_PATH, catalogue, converse_body, price_book
from tests.fakes.clock import FakeClock
from tests.fakes.ids import FakeIds
from tests.fakes.issued_keys import FakeKeyDirectory, digest, issued_key
from tests.fakes.observers import RememberingObserver
from tests.fakes.outboxes import MemoryOutbox
from tests.fakes.stop_knowledge import ToldStops
from tests.fakes.troubled_ledger import TroubledLedger
from tests.fakes.upstream import ScriptedUpstream
from tests.fakes.waiting import until

KEY_ID = "AKIABCDEFGHIJKLMNOPQ"
BEARER = f"bgk-{KEY_ID}-{'s' * 52}"
POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 1}
models: {allow: ["*"]}
"""


def rules(policy: str = POLICY) -> Rules:
    return Rules(
        policies=parse_policies({"acme.yaml": policy}),
        prices=price_book(),
        home_accounts=frozenset(),
    )


@dataclass(frozen=True)
class Answer:
    """What came back on the wire. `body` is de-chunked; `is_whole` False: it was cut."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool
    connection_closed: bool


@dataclass
class RunningPlane:
    """The parts a test may look into or put trouble into."""

    port: int
    calls: Calls
    bodies: BodyBudget
    ledger: TroubledLedger
    upstream: ScriptedUpstream
    observer: RememberingObserver
    clock: FakeClock
    server: DataPlaneServer
    connections: list[Connection] = field(default_factory=list)

    @property
    def bugs(self) -> list[str]:
        return [fact.traceback for fact in self.observer.facts if isinstance(fact, UnexpectedError)]

    def told(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.observer.facts if isinstance(fact, kind)]

    async def connect(self) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        return connection

    async def ask(self, *parts: bytes) -> Answer:
        """One request on a connection of its own."""
        connection = await self.connect()
        await connection.send(*(parts or (request(),)))
        answer = await connection.answer()
        await connection.close()
        return answer

    async def idle(self) -> None:
        """Returns when no call and no settlement is in flight."""
        await until(lambda: not len(self.calls))


@dataclass
class Connection:
    """A caller's bare socket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body, is_whole = await self._body(headers)
        return Answer(
            status=int(status_line.split(" ")[1]),
            headers=headers,
            body=body,
            is_whole=is_whole,
            connection_closed=self.reader.at_eof(),
        )

    async def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        body = b""
        try:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                await self.reader.readexactly(2)
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as cut:
            return body + getattr(cut, "partial", b""), False
        return body, True

    async def ended_after(self, mark: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(mark)

    async def ended(self) -> bytes:
        """What still comes before the other side closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def hang_up(self) -> None:
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


def request(
    operation: str = "converse",
    *,
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    target: str | None = None,
    method: str = "POST",
    version: str = "1.1",
    bearer: str = BEARER,
    host: str = "gateway.test",
    length: int | None = None,
) -> bytes:
    """A request as bytes."""
    sent = converse_body() if body is None else body
    lines = [
        f"{method} {target or f'{HAIKU_PATH}/{operation}'} HTTP/{version}",
        f"Host: {host}",
        f"Authorization: Bearer {bearer}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if not any(name.lower() == "transfer-encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(sent) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + sent


@asynccontextmanager
async def run_plane(
    *,
    upstream: ScriptedUpstream | None = None,
    policy: str = POLICY,
    max_body_bytes: int = 1 << 20,
    body_budget_bytes: int = 1 << 22,
    header_timeout_s: float = 10,
    body_timeout_s: float = 10,
    max_connections: int = 100,
    max_drains: int = 4,
    write_timeout_s: float = 10,
    is_ready: bool = True,
) -> AsyncIterator[RunningPlane]:
    """A data plane that serves one key (`BEARER`) of acme, until the context is left."""
    clock, calls, observer = FakeClock(), Calls(), RememberingObserver()
    ledger, upstream = TroubledLedger(clock), upstream or ScriptedUpstream()
    settle = Settle(
        ledger, MemoryOutbox(is_writing=False), calls, observer, clock, pauses_s=(0, 0, 0)
    )
    snapshot = rules(policy)
    identify = Identify(catalogue(), Profiles(upstream, clock))
    bodies = BodyBudget(body_budget_bytes)
    bounds = AcceptBounds(
        hosts=frozenset({"gateway.test"}),
        max_body_bytes=max_body_bytes,
        body_timeout_s=body_timeout_s,
    )
    authenticator = Authenticator(
        FakeKeyDirectory(issued_key(KEY_ID, bearer=BEARER)),
        digest=digest,
        allowed_regions=frozenset({"us-east-1"}),
    )
    stages = Stages(
        accept=Accept(bounds, clock),
        authenticate=Authenticate(authenticator, clock, home_region="us-east-1"),
        identify=identify,
        admit=Admit(lambda: snapshot, ledger, clock, release=settle.release, hold_ttl_ms=60_000),
        forward=Forward(upstream),
        relay=Relay(
            RelayBounds(idle_timeout_s=10), Drains(clock, most=max_drains, limit_s=60), clock
        ),
        settle=settle,
        browse=Browse(lambda: snapshot, identify, upstream),
    )
    ids = FakeIds()
    handler = Handler(
        stages,
        calls,
        Health(lambda: is_ready),
        bodies,
        RunningCalls(ToldStops()),
        observer=observer,
        clock=clock,
        ids=ids,
        write_timeout_s=write_timeout_s,
    )
    server = DataPlaneServer(
        handler,
        ServerBounds(
            header_timeout_s=header_timeout_s,
            keepalive_timeout_s=75,
            max_connections=max_connections,
        ),
        ids,
    )
    listener = await listen(server, host="127.0.0.1", port=0, tls=None)
    plane = RunningPlane(
        port=listener.sockets[0].getsockname()[1],
        calls=calls,
        bodies=bodies,
        ledger=ledger,
        upstream=upstream,
        observer=observer,
        clock=clock,
        server=server,
    )
    try:
        yield plane
    finally:
        for connection in plane.connections:
            await connection.close()
        listener.close()
        upstream.gate.set()
        for gate in ledger.gates.values():
            gate.set()
        await calls.drain(2)
        server.pre_shutdown()
        await server.shutdown(timeout=1)
