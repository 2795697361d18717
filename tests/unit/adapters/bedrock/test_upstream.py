"""The way to Bedrock, over real sockets: what leaves, and what each failure means."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.adapters.bedrock.credentials import AwsCredentials
from gateway.adapters.bedrock.upstream import BedrockUpstream, UpstreamOptions, open_session
from gateway.bedrock.exchange import UpstreamRequest
from gateway.domain.call import Operation
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.raw_bedrock import OK, closing, raw_bedrock, resetting, silent_after

PATH = (
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fanthropic.claude-v2%3A1/invoke"
)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
KEYS = AwsCredentials(access_key="AKIDEXAMPLE", secret="secret/+=", session_token=None)


class FixedCredentials:
    def __init__(self, keys=KEYS) -> None:
        self.keys = keys

    async def current(self):
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


def call(**changes):
    values = {
        "operation": Operation.INVOKE_MODEL,
        "region": "eu-central-1",
        "method": "POST",
        "path": PATH,
        "query": "",
        "headers": (("content-type", "application/json"), ("anthropic-beta", "a,  b")),
        "body": b'{"a":1}',
    }
    return UpstreamRequest(**{**values, **changes})


@asynccontextmanager
async def upstream_to(url, *, credentials=None, bearer_token=None, **options):
    if credentials is None and bearer_token is None:
        credentials = FixedCredentials()
    bounds = UpstreamOptions(runtime_endpoint=url, control_endpoint=url, **options)
    async with open_session(bounds) as session:
        yield BedrockUpstream(
            session, bounds, credentials=credentials, bearer_token=bearer_token, clock=FakeClock()
        )


async def body_of(exchange, idle_timeout_s=5):
    return b"".join([chunk async for chunk in exchange.chunks(idle_timeout_s)])


async def failure_of(awaitable):
    with pytest.raises(GatewayError) as raised:
        await awaitable
    assert raised.value.fault in (Fault.UPSTREAM, Fault.GATEWAY)
    return raised.value.reason


async def test_the_request_leaves_byte_for_byte():
    async with raw_bedrock() as bedrock, upstream_to(bedrock.url) as upstream:
        exchange = await upstream.send(call(query="a=%2F&b=c+d"))
        assert (exchange.status, await body_of(exchange)) == (200, b"{}")
        await exchange.close()
    (sent,) = bedrock.requests
    assert (sent.method, sent.target) == ("POST", PATH + "?a=%2F&b=c+d")
    assert sent.body == b'{"a":1}'
    assert sent.header("host") == bedrock.url.removeprefix("http://")
    assert sent.header("accept-encoding") == "identity"
    assert sent.header("anthropic-beta") == "a,  b"
    assert {name.lower() for name, _ in sent.headers} == {
        "content-type",
        "anthropic-beta",
        "host",
        "accept-encoding",
        "x-amz-date",
        "authorization",
        "content-length",
    }


@pytest.mark.parametrize("token", [None, "session-token"])
@pytest.mark.parametrize("body", [b"", b'{"a":1}', b"\x00\xff" * 100_000])
async def test_botocore_makes_the_same_signature_of_what_arrived(token, body):
    keys = AwsCredentials(access_key="AKIDEXAMPLE", secret="secret/+=", session_token=token)
    fixed = FixedCredentials(keys)
    async with (
        raw_bedrock() as bedrock,
        upstream_to(bedrock.url, credentials=fixed) as upstream,
    ):
        await (await upstream.send(call(body=body))).close()
    (sent,) = bedrock.requests
    assert sent.body == body
    signed = sent.header("authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest(
        method=sent.method,
        url=bedrock.url + sent.target,
        data=sent.body,
        headers={name: value for name, value in sent.headers if name.lower() in signed},
    )
    request.context["timestamp"] = sent.header("x-amz-date")
    verifier = SigV4Auth(Credentials("AKIDEXAMPLE", "secret/+=", token), "bedrock", "eu-central-1")
    canonical = verifier.canonical_request(request)
    expected = verifier.signature(verifier.string_to_sign(request, canonical), request)
    assert sent.header("authorization").endswith(f"Signature={expected}")
    assert sent.header("x-amz-date") == f"{NOON:%Y%m%dT%H%M%SZ}"
    assert sent.header("x-amz-security-token") == token
    assert {"host", "x-amz-date", "content-type", "anthropic-beta"} <= {*signed}


async def test_a_bedrock_api_key_replaces_the_signature():
    async with (
        raw_bedrock() as bedrock,
        upstream_to(bedrock.url, bearer_token="bedrock-api-key-x") as upstream,
    ):
        await (await upstream.send(call())).close()
    (sent,) = bedrock.requests
    assert sent.header("authorization") == "Bearer bedrock-api-key-x"
    assert sent.header("x-amz-date") is None


@pytest.mark.parametrize("given", [{}, {"credentials": FixedCredentials(), "bearer_token": "x"}])
def test_there_is_exactly_one_way_to_prove_who_we_are(given):
    values = {"credentials": None, "bearer_token": None, **given}
    with pytest.raises(ValueError, match="either"):
        BedrockUpstream(None, UpstreamOptions(), clock=FakeClock(), **values)


@pytest.mark.parametrize(
    ("operation", "host"),
    [
        (Operation.CONVERSE, "bedrock-runtime.eu-central-1.amazonaws.com"),
        (Operation.LIST_FOUNDATION_MODELS, "bedrock.eu-central-1.amazonaws.com"),
    ],
)
async def test_the_region_and_the_operation_select_the_host(operation, host):
    asked = []

    class Resolver(aiohttp.abc.AbstractResolver):
        async def resolve(self, name, port=0, family=socket.AF_INET):  # noqa: ARG002 - its port
            asked.append((name, port))
            raise OSError("no such host")

        async def close(self):
            return None

    connector = aiohttp.TCPConnector(resolver=Resolver())
    async with aiohttp.ClientSession(connector=connector) as session:
        upstream = BedrockUpstream(
            session,
            UpstreamOptions(),
            credentials=FixedCredentials(),
            bearer_token=None,
            clock=FakeClock(),
        )
        reason = await failure_of(upstream.send(call(operation=operation)))
    assert reason is Reason.UPSTREAM_UNREACHABLE
    assert asked == [(host, 443)]


async def test_a_connection_is_used_again_after_an_answer_was_read():
    async with raw_bedrock() as bedrock, upstream_to(bedrock.url) as upstream:
        for _ in range(3):
            exchange = await upstream.send(call())
            await body_of(exchange)
            await exchange.close()
    assert (len(bedrock.requests), bedrock.connections) == (3, 1)


async def test_a_connection_with_an_unread_answer_is_dropped():
    never = asyncio.Event()
    answer = CHUNKED + b"2\r\n{}\r\n"
    async with raw_bedrock(silent_after(answer, never), OK) as bedrock:
        async with upstream_to(bedrock.url) as upstream:
            exchange = await upstream.send(call())
            async for _ in exchange.chunks(5):
                break
            await exchange.close()
            second = await upstream.send(call())
            await body_of(second)
            await second.close()
        assert bedrock.connections == 2
        never.set()


async def test_redirects_are_not_followed():
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with raw_bedrock(redirect, OK) as bedrock, upstream_to(bedrock.url) as upstream:
        assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_INVALID
    assert len(bedrock.requests) == 1


async def test_cookies_are_not_kept():
    cookie = OK.replace(b"\r\nContent-Type", b"\r\nSet-Cookie: a=b\r\nContent-Type")
    async with raw_bedrock(cookie) as bedrock, upstream_to(bedrock.url) as upstream:
        for _ in range(2):
            exchange = await upstream.send(call())
            await body_of(exchange)
            await exchange.close()
    assert [sent.header("cookie") for sent in bedrock.requests] == [None, None]


async def test_the_machines_proxies_and_netrc_are_not_asked(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login eve password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with raw_bedrock() as bedrock, upstream_to(bedrock.url) as upstream:
        await (await upstream.send(call())).close()
    assert bedrock.requests[0].header("authorization").startswith("AWS4-HMAC-SHA256 ")


async def test_an_encoded_answer_is_not_decoded():
    packed = b"\x1f\x8b\x08\x00not really gzip"
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    async with raw_bedrock(head.encode() + packed) as bedrock, upstream_to(bedrock.url) as upstream:
        exchange = await upstream.send(call())
        assert await body_of(exchange) == packed
        assert exchange.headers[0] == ("Content-Encoding", "gzip")
        await exchange.close()


async def test_headers_keep_their_order_and_repeats():
    head = b"HTTP/1.1 429 Too Many\r\nX-B: 1\r\nx-a: \xe9\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n"
    async with raw_bedrock(head) as bedrock, upstream_to(bedrock.url) as upstream:
        exchange = await upstream.send(call())
        assert exchange.status == 429
        assert exchange.headers[:3] == (("X-B", "1"), ("x-a", "é"), ("X-B", "2"))
        await exchange.close()


async def test_whoever_cannot_connect_has_sent_nothing():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        async with upstream_to(f"http://127.0.0.1:{taken.getsockname()[1]}") as upstream:
            assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_UNREACHABLE


async def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with raw_bedrock(tls=context) as bedrock, upstream_to(bedrock.url) as upstream:
        assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_UNREACHABLE
    assert bedrock.requests == []


async def test_whoever_waits_for_a_free_connection_has_sent_nothing():
    never = asyncio.Event()
    async with raw_bedrock(silent_after(CHUNKED, never)) as bedrock:
        options = {"pool_size": 1, "pool_timeout_s": 0.01, "connect_timeout_s": 0.01}
        async with upstream_to(bedrock.url, **options) as upstream:
            first = await upstream.send(call())
            assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_UNREACHABLE
            await first.close()
        never.set()
    assert len(bedrock.requests) == 1


async def test_without_credentials_nothing_is_sent():
    missing = GatewayError(Reason.UPSTREAM_CREDENTIALS, fault=Fault.GATEWAY)
    fixed = FixedCredentials(missing)
    async with (
        raw_bedrock() as bedrock,
        upstream_to(bedrock.url, credentials=fixed) as upstream,
    ):
        assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_CREDENTIALS
    assert (bedrock.requests, bedrock.connections) == ([], 0)


async def test_a_head_that_does_not_come_may_have_been_billed():
    never = asyncio.Event()
    async with raw_bedrock(silent_after(b"", never)) as bedrock:
        async with upstream_to(bedrock.url, head_timeout_s=0.05) as upstream:
            assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_TIMEOUT
        never.set()
    assert len(bedrock.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        closing(b""),
        resetting(b""),
        closing(b"HTTP/1.1 200 OK\r\nConte"),
        closing(b"nonsense\r\n\r\n"),
        closing(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"),
    ],
)
async def test_a_connection_that_ends_without_a_head_may_have_been_billed_and_is_not_retried(
    answer,
):
    async with raw_bedrock(answer) as bedrock, upstream_to(bedrock.url) as upstream:
        assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_INVALID
    assert len(bedrock.requests) == 1


async def test_a_kept_connection_that_the_other_end_drops_is_not_used_to_send_twice():
    """A POST is never repeated by the library: nobody could say which one was billed."""
    async with raw_bedrock(OK, resetting(b""), OK) as bedrock, upstream_to(bedrock.url) as upstream:
        exchange = await upstream.send(call())
        await body_of(exchange)
        await exchange.close()
        assert await failure_of(upstream.send(call())) is Reason.UPSTREAM_INVALID
    assert len(bedrock.requests) == 2


@pytest.mark.parametrize("cut", [closing, resetting])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        CHUNKED + b"5\r\n12345\r\n",
        CHUNKED + b"5\r\n123",
        CHUNKED + b"zz\r\n",
    ],
)
async def test_a_body_that_ends_before_its_end_is_invalid(head, cut):
    async with raw_bedrock(cut(head)) as bedrock, upstream_to(bedrock.url) as upstream:
        reason = await failure_of(_whole(upstream))
    assert reason is Reason.UPSTREAM_INVALID
    assert len(bedrock.requests) == 1


async def test_a_silence_within_an_answer_is_a_timeout():
    never = asyncio.Event()
    async with raw_bedrock(silent_after(CHUNKED + b"1\r\na\r\n", never)) as bedrock:
        async with upstream_to(bedrock.url) as upstream:
            exchange = await upstream.send(call())
            chunks = exchange.chunks(0.05)
            assert await anext(chunks) == b"a"
            assert await failure_of(anext(chunks)) is Reason.UPSTREAM_TIMEOUT
            await exchange.close()
        never.set()


async def test_a_call_that_is_cancelled_lets_go_of_its_connection():
    never = asyncio.Event()
    async with raw_bedrock(silent_after(b"", never), OK) as bedrock:
        async with upstream_to(bedrock.url, pool_size=1) as upstream:
            waiting = asyncio.create_task(upstream.send(call()))
            await bedrock.asked.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await (await upstream.send(call())).close()
        never.set()


async def test_a_large_body_is_sent_and_a_large_answer_read_in_pieces():
    answer = b"x" * 3_000_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
    async with raw_bedrock(head + answer) as bedrock, upstream_to(bedrock.url) as upstream:
        exchange = await upstream.send(call(body=b"y" * 3_000_000))
        pieces = [chunk async for chunk in exchange.chunks(5)]
        await exchange.close()
    assert len(bedrock.requests[0].body) == 3_000_000
    assert b"".join(pieces) == answer
    assert len(pieces) > 1
    assert all(pieces)


async def _whole(upstream):
    exchange = await upstream.send(call())
    try:
        await body_of(exchange)
    finally:
        await exchange.close()
