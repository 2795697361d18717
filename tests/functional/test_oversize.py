import json

import aiohttp

from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


async def test_a_body_above_the_limit_is_refused_unread(start, simulated):
    gateway = await start(max_body_bytes=2000)
    key = await gateway.key()
    big = json.dumps({"messages": user_says("x" * 3000)}).encode()

    async def chunks():
        for at in range(0, len(big), 500):
            yield big[at : at + 500]

    for body in (big, chunks()):
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session,
            session.post(f"{gateway.url}/model/{NOVA}/converse", data=body) as response,
        ):
            assert response.status == 413
            assert response.headers["x-amzn-errortype"] == "ValidationException"
            assert response.headers["x-gateway-reason"] == "body_too_large"
    assert simulated.requests == []
    assert await gateway.accounts_touched() == []
