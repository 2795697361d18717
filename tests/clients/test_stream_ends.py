"""How a stream that goes wrong ends for its reader: never as if all were well."""

import pytest

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.clients.calls import HAIKU, streams
from tests.clients.environments import ALL

TROUBLES = {
    "an exception after some text": {
        "stream_exception": "modelStreamErrorException",
        "after": 2,
    },
    "an exception at once": {"stream_exception": "throttlingException", "after": 0},
    "a broken connection": {"cut_after": 2},
}


@pytest.mark.parametrize("client", ALL, ids=lambda client: client.name)
async def test_a_stream_that_breaks_is_an_error_to_its_reader_and_is_not_sent_again(start, client):
    stand = await start()
    calls = [
        call
        for name, trouble in TROUBLES.items()
        for call in streams(client, name, sim_marker(output=100, **trouble), model=HAIKU)
    ]
    results = await client.run(calls, await stand.signing())
    for name, result in results.items():
        expected = "throttlingException" if "at once" in name else "modelStreamErrorException"
        assert expected in (result["error"]["code"] or result["error"]["message"]), result
        assert result["naps"] == []
        assert "text" in str(result["answer"]) or "at once" in name
    assert len(stand.simulated.requests) == len(calls)
    records = await stand.gateway.settled(len(calls))
    assert {record["status"] for record in records} == {"stream_error"}
    assert await stand.gateway.holds() == 0
