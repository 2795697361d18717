import aiohttp
import pytest

from gateway.sandbox.replay import Recording, start_replay_upstream

BODY = bytes(range(256)) * 3


@pytest.mark.parametrize("piece_bytes", [None, 1, 7, 1000])
@pytest.mark.parametrize("chunked", [True, False])
async def test_the_recorded_bytes_come_back_in_any_pieces(piece_bytes, chunked):
    recording = Recording(
        status=200,
        headers=[("Content-Type", "application/x"), ("Connection", "close"), ("x-amzn-A", "b")],
        body=BODY,
        chunked=chunked,
    )
    async with start_replay_upstream() as upstream, aiohttp.ClientSession() as session:
        upstream.expect(recording, piece_bytes=piece_bytes)
        async with session.post(f"{upstream.url}/model/x/invoke", data=b"asked") as response:
            assert await response.read() == BODY
            assert response.headers["x-amzn-A"] == "b"
            assert ("Content-Length" in response.headers) is not chunked
    assert upstream.requests[0].target == "/model/x/invoke"
    assert upstream.requests[0].body == b"asked"


async def test_answers_come_in_the_order_expected_and_then_no_more():
    async with start_replay_upstream() as upstream, aiohttp.ClientSession() as session:
        for status in (200, 429):
            upstream.expect(Recording(status=status, headers=[], body=b"", chunked=False))
        seen = []
        for _ in range(3):
            async with session.get(upstream.url) as response:
                seen.append(response.status)
    assert seen == [200, 429, 500]


async def test_a_profile_the_gateway_asks_for_takes_nobodys_answer():
    async with start_replay_upstream() as upstream, aiohttp.ClientSession() as session:
        upstream.expect(Recording(status=200, headers=[], body=b"", chunked=False))
        seen = []
        for path in ("inference-profiles/arn%3Aaws", "model/x/converse"):
            async with session.get(f"{upstream.url}/{path}") as response:
                seen.append(response.status)
    assert seen == [404, 200]
