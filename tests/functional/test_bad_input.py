import gzip
import json

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
GOOD = json.dumps({"messages": user_says("hi")}).encode()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def post(lasting_gateway, lasting_simulated):
    """Sends a request as its caller, and holds it to what every bad request is held to."""
    gateway, simulated = lasting_gateway, lasting_simulated
    key = await gateway.key()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session:

        async def send(body, *, target=f"/model/{NOVA}/converse", headers=None, method="POST"):
            url = URL(gateway.url + target, encoded=True)
            async with session.request(method, url, data=body, headers=headers) as response:
                text = await response.text()
                assert response.headers["x-amzn-errortype"]
                assert response.headers["x-gateway-request-id"]
                assert "Traceback" not in text
                assert set(json.loads(text)) == {"message"}
                assert simulated.requests == []
                assert await gateway.accounts_touched() == []
                return response.status, response.headers["x-gateway-reason"], text

        yield send


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"hi", b"\xff\xfe"),
        b'{"messages": [], "messages": []}',
        b'{"messages": [{"role": "user", "content": [{"text": "a", "text": "b"}]}]}',
        b'{"inferenceConfig": {"maxTokens": NaN}}',
        b'{"inferenceConfig": {"maxTokens": Infinity}}',
        b'{"inferenceConfig": {"maxTokens": "ten"}}',
        b'{"inferenceConfig": {"maxTokens": -1}}',
        b'{"messages": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a": ' + b"[" * 100_000,
        GOOD + b"x",
        GOOD + GOOD,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_bodies_that_cannot_be_trusted_are_refused_before_anything_is_reserved(post, body):
    status, reason, _ = await post(body)
    assert (status, reason) == (400, "malformed_body")


@pytest.mark.parametrize(
    "target",
    [
        f"/model/{NOVA}/..%2fconverse",
        "/model/%2e%2e/converse",
        f"/model/../{NOVA}/converse",
        f"/model//{NOVA}/converse",
        f"/model/{NOVA}%00/converse",
        f"/model/{NOVA.replace(':', '%253A')}/converse",
        "/model/a%zz/converse",
        "/model/a%c3%a9/converse",
        f"/model/{NOVA} /converse",
        "/model/" + "a" * 3000 + "/converse",
        "/model//converse",
        "/model/not a model/converse",
        "/model/arn%3Aaws%3As3%3A%3A%3Abucket/converse",
    ],
)
async def test_paths_that_no_client_sends_are_refused(post, target):
    status, reason, _ = await post(GOOD, target=target.replace(" ", "%20"))
    assert (status, reason) == (400, "malformed_path")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/", 404),
        ("POST", "/model/x/apply", 404),
        ("GET", f"/model/{NOVA}/converse", 405),
        ("PUT", f"/model/{NOVA}/converse", 405),
        ("DELETE", "/inference-profiles/x", 405),
        ("POST", "/guardrail/abc/version/1/apply", 404),
        ("POST", "/async-invoke", 404),
        ("POST", f"/model/{NOVA}/invoke-with-bidirectional-stream", 404),
        ("POST", "/openai/v1/chat/completions", 404),
        ("GET", "/_sim/bill", 404),
    ],
)
async def test_what_is_not_carried_is_named_as_such(post, method, target, status):
    got, reason, _ = await post(None, target=target, method=method)
    assert got == status
    assert reason in ("unsupported_operation", "method_not_allowed")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-unknown"])
async def test_coded_bodies_are_refused_not_unpacked(post, encoding):
    body = gzip.compress(b"x" * 1_000_000)
    status, reason, _ = await post(body, headers={"Content-Encoding": encoding})
    assert (status, reason) == (415, "unsupported_encoding")


async def test_error_texts_do_not_repeat_prompts_or_secrets(post, lasting_gateway):
    secret = "the-launch-code-is-0000"
    for body in (
        f'{{"messages": [{{"role": "user", "content": [{{"text": "{secret}", "text": 1}}]}}]}}',
        f'{{"messages": "{secret}", ',
        f'{{"{secret}": 1, "{secret}": 2, "messages": []}}'[:60],
    ):
        _, _, text = await post(body.encode())
        assert "the-launch-code" not in text or "messages" not in body[:12]
    assert "the-launch-code" not in repr(lasting_gateway.observer.facts)
