"""What aiohttp lets through and this gateway must not (measured; see docs/security.md)."""

import asyncio
import contextlib
import json

import pytest
import pytest_asyncio

from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
BODY = json.dumps({"messages": user_says("hi")}).encode()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gateway(lasting_gateway):
    return lasting_gateway


@pytest.fixture
def simulated(lasting_simulated):
    return lasting_simulated


@pytest_asyncio.fixture(loop_scope="module")
async def probe(gateway):
    """Sends bytes; gives the answers' status codes, and whether the connection was closed."""
    key = await gateway.key()

    async def send(raw):
        if isinstance(raw, str):
            raw = raw.encode("latin-1")
        raw = raw.replace(b"{auth}", f"Authorization: Bearer {key.bearer}\r\n".encode())
        raw = raw.replace(b"{body}", BODY).replace(b"{length}", str(len(BODY)).encode())
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        try:
            writer.write(raw)
            await writer.drain()
            answer = b""
            async with asyncio.timeout(3):
                while data := await reader.read(65536):
                    answer += data
                    if _is_whole(answer):
                        break
        except (TimeoutError, ConnectionError):
            pass
        finally:
            await close(writer)
        assert b"Traceback" not in answer
        assert b"aiohttp" not in answer
        return answer

    return send


async def close(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _is_whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return body.endswith(b"0\r\n\r\n")


def status(answer):
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/") else None


def request(
    target=f"/model/{NOVA}/converse", *, head="", host="127.0.0.1", version="HTTP/1.1", body=True
):
    framing = "Content-Length: {length}\r\n" if body else ""
    content = "{body}" if body else ""
    return f"POST {target} {version}\r\nHost: {host}\r\n{{auth}}{framing}{head}\r\n{content}"


async def test_a_plain_request_passes(probe, simulated):
    assert status(await probe(request())) == 200
    assert len(simulated.requests) == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (request(f"http://169.254.169.254/model/{NOVA}/converse"), 400),
        (request(f"https://127.0.0.1/model/{NOVA}/converse"), 400),
        (request("*"), 400),
        (request("127.0.0.1:80"), 400),
        (request(host="localhost/#@evil"), 400),
        (request(host="evil.example"), 400),
        (request(host="127.0.0.1@evil"), 400),
        (request(host="127.0.0.1 evil"), 400),
        (request(host=""), 400),
        (request("/model/..%2fadmin/x/converse"), 400),
        (request(f"/model/%2e%2e/{NOVA}/converse"), 400),
        (request(f"/model/{NOVA}/converse#fragment"), 400),
        (request(f"/model/{NOVA}/./converse"), 400),
        (request(f"//model/{NOVA}/converse"), 400),
        (request(version="HTTP/2.0"), 505),
        (request(version="HTTP/1.2"), 400),
        (request(head="Upgrade: h2c\r\nConnection: Upgrade\r\n"), 400),
        (request(head="Upgrade: websocket\r\nConnection: Upgrade\r\n"), 400),
        (request(head="Content-Encoding: gzip\r\n"), 415),
        (request(head="Content-Encoding: identity, gzip\r\n"), 415),
        (request(head="Transfer-Encoding: gzip, chunked\r\n", body=False) + "0\r\n\r\n", 400),
        (request(head="Transfer-Encoding: xchunked\r\n", body=False) + "0\r\n\r\n", 400),
        (
            request(head="Transfer-Encoding: chunked\r\n", version="HTTP/1.0", body=False)
            + "0\r\n\r\n",
            400,
        ),
        (request(head="Transfer-Encoding: chunked\r\n"), 400),
        (request(head="Content-Length: 5\r\n"), 400),
        (request(head="Host: evil\r\n"), 400),
        (request(head="Authorization: Bearer other\r\n"), 400),
        (request(head="Bad Header: 1\r\n"), 400),
        (request(head="X-A: a\x00b\r\n"), 400),
        (request(head=" folded\r\n"), 400),
        (request().replace("\r\n", "\n"), 400),
        (request(head="X: " + "a" * 20_000 + "\r\n"), 400),
        (request(head="".join(f"X-{n}: 1\r\n" for n in range(300))), 400),
        (request("/" + "a" * 9000), 400),
        ("POST / HTTP/1.1\r\n\r\n", 400),
        ("post /model/x/converse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        ("GET / HTTP/1.1 extra\r\nHost: 127.0.0.1\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ],
)
async def test_probes_are_refused_and_reserve_nothing(gateway, simulated, probe, raw, expected):
    answer = await probe(raw)
    got = status(answer)
    if expected is None:
        assert got in (None, 400, 505)
    else:
        assert got == expected, answer[:300]
        assert b"x-amzn-errortype" in answer.lower()
    assert simulated.requests == []
    assert await gateway.accounts_touched() == []


async def test_http_09_is_not_spoken(simulated, probe):
    assert not (await probe("GET /_gateway/live\r\n\r\n")).startswith(b"live")
    assert simulated.requests == []


async def test_names_that_differ_by_underscore_are_not_taken_for_one_another(probe, simulated):
    head = "X_Amzn_Bedrock_Request_Metadata: {}\r\nX_Gateway_Feature: spoofed\r\n"
    assert status(await probe(request(head=head))) == 200
    assert all("_" not in name for name, _ in simulated.requests[0].headers)


async def test_two_requests_in_one_segment_get_two_answers_in_order(probe, simulated):
    answer = await probe(request("/model/../x/converse") + request())
    assert status(answer) == 400
    # Whatever follows a request that was refused before its body was read is not trusted.
    assert len(simulated.requests) <= 1


async def test_a_smuggled_second_request_is_never_run(probe, simulated):
    inner = f"POST /model/{NOVA}/converse HTTP/1.1\r\nHost: 127.0.0.1\r\n{{auth}}"
    inner += "Content-Length: {length}\r\n\r\n{body}"
    for head in ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "Content-Length: 0, 0\r\n"):
        raw = f"POST /model/x/invoke HTTP/1.1\r\nHost: 127.0.0.1\r\n{{auth}}{head}\r\n0\r\n\r\n"
        answer = await probe(raw + inner)
        assert status(answer) == 400
        assert simulated.requests == []


async def test_hop_by_hop_headers_and_those_they_name_do_not_reach_bedrock(probe, simulated):
    head = (
        "Connection: keep-alive, x-amzn-bedrock-trace\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        "Proxy-Authorization: Basic eA==\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n"
        "Forwarded: for=1.2.3.4\r\nX-User: eve\r\nx-amzn-bedrock-trace: ENABLED_FULL\r\n"
        "X-Amz-Security-Token: stolen\r\n"
    )
    answer = await probe(request(head=head))
    assert status(answer) == 200
    names = {name.lower() for name, _ in simulated.requests[0].headers}
    assert not names & {
        "keep-alive",
        "te",
        "proxy-authorization",
        "cookie",
        "x-forwarded-for",
        "forwarded",
        "x-user",
        "x-amzn-bedrock-trace",
        "x-amz-security-token",
    }


async def test_an_expectation_is_met_before_the_body_is_sent(gateway):
    key = await gateway.key()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST /model/{NOVA}/converse HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer {key.bearer}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        await reader.readline()
        writer.write(BODY)
        assert status(await reader.readline()) == 200
    await close(writer)


async def test_chunked_bodies_are_taken(probe):
    half = len(BODY) // 2
    pieces = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:half], BODY[half:], b"")
    )
    raw = request(head="Transfer-Encoding: chunked\r\n", body=False).encode() + pieces
    assert status(await probe(raw)) == 200
