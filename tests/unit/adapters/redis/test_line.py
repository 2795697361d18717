"""One question, one answer; the rest of its promises is in test_ledger.py, seen from there."""

from __future__ import annotations

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.domain.errors import GatewayError
from tests.fakes.resp_server import array, resp_server


async def test_the_first_argument_comes_back_or_there_was_no_answer():
    async def answer(_command):
        return array("mine", "OK")

    async with resp_server(answer) as (_, url):
        client = connect(url, timeout_s=0.5)
        line = Line(client, Functions(client, read_library()))
        assert await line.call("any", ["k"], ("mine",)) == ["mine", "OK"]
        with pytest.raises(GatewayError, match="belongs to another"):
            await line.call("any", ["k"], ("yours",))
        await client.aclose()
