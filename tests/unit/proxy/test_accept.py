"""What is a well-formed request, on a real socket: aiohttp lets more through than we do."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.reason import Reason
from gateway.proxy.accept import Accept, AcceptBounds, BodyBudget
from tests.fakes.calls import HAIKU, HAIKU_PATH
from tests.fakes.clock import FakeClock
from tests.fakes.data_plane import Connection, request
from tests.fakes.waiting import until

BODY = b'{"messages": []}'


class Door:
    """An aiohttp server whose handler only accepts; `outcome` is the call or the error."""

    def __init__(self, **bounds) -> None:
        values = {"hosts": frozenset({"gateway.test", "::1"}), "max_body_bytes": 1000}
        self.clock = FakeClock()
        self.bodies = BodyBudget(5000)
        self._accept = Accept(
            AcceptBounds(**{**values, "body_timeout_s": 10, **bounds}), self.clock
        )
        self.outcome = asyncio.Queue()
        self.port = 0
        self.connections = []
        self.entered = asyncio.Event()

    async def handle(self, received):
        self.entered.set()
        with self.bodies.lease() as lease:
            try:
                call = await self._accept(received, RequestId("req-1"), lease)
            except GatewayError as error:
                await self.outcome.put(error)
                response = web.Response(status=400)
                response.force_close()
                return response
            assert lease.size == self.bodies._used == len(call.body)
        await self.outcome.put(call)
        return web.Response(text="ok")

    async def connect(self):
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection

    async def says(self, *parts):
        """The call or the error that these bytes become, and what was answered."""
        connection = await self.connect()
        await connection.send(*parts)
        async with asyncio.timeout(5):
            outcome = await self.outcome.get()
        assert self.bodies._used == 0
        return outcome

    async def refuses(self, *parts):
        outcome = await self.says(*parts)
        assert isinstance(outcome, GatewayError), outcome
        return outcome.reason


@asynccontextmanager
async def door(**bounds):
    doorkeeper = Door(**bounds)
    server = web.Server(doorkeeper.handle, access_log=None, auto_decompress=False, lingering_time=0)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    doorkeeper.port = listener.sockets[0].getsockname()[1]
    try:
        yield doorkeeper
    finally:
        for connection in doorkeeper.connections:
            await connection.close()
        listener.close()
        await server.shutdown(1)


def plain(*headers, host="gateway.test", version="1.1", target=None, method="POST"):
    """A request without a body, with just these headers."""
    lines = [f"{method} {target or HAIKU_PATH + '/converse'} HTTP/{version}"]
    lines += [] if host is None else [f"Host: {host}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


async def test_a_call_is_its_bytes_their_hash_and_what_the_target_names():
    async with door() as at:
        call = await at.says(request(body=BODY, target=f"{HAIKU_PATH}/converse?a=%20b"))
    assert (call.operation, call.route.model_text) == (Operation.CONVERSE, HAIKU)
    assert (call.raw_path, call.raw_query) == (f"{HAIKU_PATH}/converse", "a=%20b")
    assert (call.body, call.body_sha256) == (BODY, hashlib.sha256(BODY).hexdigest())
    assert (call.host, call.method, call.request_id) == ("gateway.test", "POST", "req-1")
    assert call.received_s == at.clock.monotonic_s()


async def test_headers_keep_their_order_their_case_and_their_bytes():
    async with door() as at:
        call = await at.says(plain("X-B: 1", "x-a:  two  words ", "X-B: 3", "X-L: caf\xe9"))
    assert call.headers[1:] == (
        ("X-B", "1"),
        ("x-a", "two  words"),
        ("X-B", "3"),
        ("X-L", b"caf\xe9".decode("utf-8", "surrogateescape")),
    )


async def test_header_names_that_some_fronts_take_for_others_are_dropped():
    async with door() as at:
        call = await at.says(plain("X_Gateway_User: eve", "X.Y: 1", "X-Gateway-Task: t"))
    assert [name for name, _ in call.headers] == ["Host", "X-Gateway-Task"]


async def test_the_slashes_and_colons_of_a_target_are_kept_as_sent():
    arn = "arn:aws:bedrock:us-east-1::foundation-model%2Fanthropic.claude-v2"
    async with door() as at:
        call = await at.says(plain(target=f"/model/{arn}/invoke"))
    assert call.raw_path == f"/model/{arn}/invoke"
    assert call.route.model_text == arn.replace("%2F", "/")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (plain(target="http://169.254.169.254/x"), Reason.MALFORMED_PATH),
        (plain(target="*", method="OPTIONS"), Reason.MALFORMED_PATH),
        (plain(target="/model/..%2fx/converse"), Reason.MALFORMED_PATH),
        (plain(target="/model/x/converse#y"), Reason.MALFORMED_PATH),
        (plain(target="/admin"), Reason.UNSUPPORTED_OPERATION),
        (plain(method="HEAD"), Reason.METHOD_NOT_ALLOWED),
        (plain(method="GET"), Reason.METHOD_NOT_ALLOWED),
        (plain(host="localhost/#@evil"), Reason.UNKNOWN_HOST),
        (plain(host="gateway.test@evil"), Reason.UNKNOWN_HOST),
        (plain(host="gateway.test:123456"), Reason.UNKNOWN_HOST),
        (plain(host="evil.test"), Reason.UNKNOWN_HOST),
        (plain(host="gateway.test."), Reason.UNKNOWN_HOST),
        (plain(host=None, version="1.0"), Reason.UNKNOWN_HOST),
        (plain(version="2.0"), Reason.UNSUPPORTED_HTTP_VERSION),
        (plain("Upgrade: h2c", "Connection: Upgrade"), Reason.MALFORMED_HEADER),
        (plain("Upgrade: websocket"), Reason.MALFORMED_HEADER),
        (plain("Content-Encoding: gzip", "Content-Length: 0"), Reason.UNSUPPORTED_ENCODING),
        (plain("Content-Length: 1001"), Reason.BODY_TOO_LARGE),
        (plain("Transfer-Encoding: chunked", version="1.0"), Reason.MALFORMED_HEADER),
        (plain("Transfer-Encoding: gzip, chunked"), Reason.MALFORMED_HEADER),
    ],
)
async def test_what_no_client_sends_is_refused(raw, reason):
    async with door() as at:
        assert await at.refuses(raw) is reason


@pytest.mark.parametrize(
    "host", ["gateway.test", "GATEWAY.TEST", "gateway.test:8080", "[::1]:8080", "[::1]"]
)
async def test_a_host_is_served_whatever_its_case_and_port(host):
    async with door() as at:
        call = await at.says(plain(host=host))
    assert call.host == host


async def test_without_a_list_any_valid_host_is_served():
    async with door(hosts=frozenset()) as at:
        assert (await at.says(plain(host="any.where:1"))).host == "any.where:1"
        assert await at.refuses(plain(host="any where")) is Reason.UNKNOWN_HOST


async def test_only_a_trusted_front_may_say_which_host_was_addressed():
    forwarded = plain("X-Forwarded-Host: gateway.test", host="10.0.0.1")
    async with door(trusted_fronts=(ip_network("127.0.0.0/8"),)) as at:
        assert (await at.says(forwarded)).host == "gateway.test"
        assert (await at.says(plain())).host == "gateway.test"
        twice = plain("X-Forwarded-Host: a", "X-Forwarded-Host: b")
        assert await at.refuses(twice) is Reason.MALFORMED_HEADER
        assert await at.refuses(plain("X-Forwarded-Host: a, b")) is Reason.UNKNOWN_HOST
    async with door(trusted_fronts=(ip_network("10.0.0.0/8"), ip_network("::/0"))) as at:
        assert await at.refuses(forwarded) is Reason.UNKNOWN_HOST
        assert (await at.says(plain("X-Forwarded-Host: evil"))).host == "gateway.test"


async def test_http_1_0_is_served():
    async with door() as at:
        assert (await at.says(request(body=BODY, version="1.0"))).body == BODY


async def test_a_body_in_chunks_is_put_together():
    head = request(body=b"", headers=(("Transfer-Encoding", "chunked"),))
    async with door() as at:
        call = await at.says(head, b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n")
    assert call.body == b"hello world"


async def test_a_body_without_a_stated_length_is_bounded_too():
    head = request(body=b"", headers=(("Transfer-Encoding", "chunked"),))
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    async with door() as at:
        assert await at.refuses(head, chunk, chunk, chunk) is Reason.BODY_TOO_LARGE


async def test_a_body_of_just_the_largest_size_is_taken():
    async with door() as at:
        assert len((await at.says(request(body=b"x" * 1000))).body) == 1000


async def test_a_body_whose_framing_breaks_is_given_up():
    async with door(body_timeout_s=0.05) as at:
        connection = await at.connect()
        await connection.send(request(body=b"", headers=(("Transfer-Encoding", "chunked"),)))
        await at.entered.wait()
        await connection.send(b"zz\r\nhello\r\n")
        outcome = await at.outcome.get()
    # aiohttp's parser does not tell the body that it cannot go on, so time has to.
    assert outcome.reason is Reason.BODY_TOO_SLOW


async def test_a_body_that_ends_early_is_the_callers_fault():
    async with door() as at:
        connection = await at.connect()
        await connection.send(request(body=BODY, length=100))
        await until(lambda: at.bodies._used)
        connection.hang_up()
        outcome = await at.outcome.get()
    assert outcome.reason is Reason.MALFORMED_REQUEST


async def test_a_body_that_does_not_come_is_given_up():
    async with door(body_timeout_s=0.01) as at:
        assert await at.refuses(request(body=BODY, length=100)) is Reason.BODY_TOO_SLOW


async def test_a_large_body_may_take_as_long_as_its_size_at_the_least_speed():
    async with door(max_body_bytes=100_000, body_timeout_s=0.01, min_body_bytes_per_s=1000) as at:
        connection = await at.connect()
        await connection.send(request(body=b"x" * 50_000, length=60_000))
        await until(lambda: at.bodies._used >= 5_000 or not at.outcome.empty())
        assert isinstance(await at.outcome.get(), GatewayError)  # the budget of 5,000 bytes


async def test_a_body_beyond_the_budget_of_the_process_is_refused_for_now():
    async with door(max_body_bytes=10_000) as at:
        outcome = await at.says(request(body=b"x" * 6000))
    assert (outcome.reason, outcome.retry_after_s) == (Reason.OVERLOADED, 1)


async def test_who_waits_to_be_asked_for_the_body_is_asked():
    async with door() as at:
        connection = await at.connect()
        await connection.send(request(body=b"", headers=(("Expect", "100-continue"),), length=16))
        assert await connection.ended_after(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(BODY)
        assert (await at.outcome.get()).body == BODY
        assert (await connection.answer()).status == 200


async def test_who_is_refused_is_not_asked_for_the_body_first():
    async with door() as at:
        connection = await at.connect()
        head = request(body=b"", headers=(("Expect", "100-continue"),), length=16, host="evil")
        await connection.send(head)
        assert (await connection.answer()).status == 400


async def test_http_1_0_is_never_told_to_continue():
    async with door() as at:
        connection = await at.connect()
        head = request(body=b"", headers=(("Expect", "100-continue"),), length=16, version="1.0")
        await connection.send(head, BODY)
        assert (await connection.answer()).status == 200


async def test_reads_of_the_control_plane_take_no_body():
    raw = request(method="GET", target="/foundation-models", body=BODY)
    async with door() as at:
        assert await at.refuses(raw) is Reason.MALFORMED_BODY


def test_a_budget_takes_back_what_each_lease_took():
    budget = BodyBudget(10)
    with budget.lease() as one, budget.lease() as two:
        one.grow(6)
        two.grow(4)
        with pytest.raises(GatewayError) as refused:
            two.grow(1)
        assert refused.value.reason is Reason.OVERLOADED
    with budget.lease() as whole:
        whole.grow(10)
    assert budget._used == 0
