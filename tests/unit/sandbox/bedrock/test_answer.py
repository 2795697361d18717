import aiohttp
import pytest

from gateway.bedrock.event_frame import CorruptFrame, decode_frames
from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.server import start_simulated_bedrock
from tests.fakes.stock_clients import user_says

TOKEN = "bedrock-api-key-x"


@pytest.fixture
async def simulated():
    credentials = AcceptedCredentials(bearer_token=TOKEN)
    async with start_simulated_bedrock(credentials=credentials) as running:
        yield running


@pytest.fixture
async def post(simulated):
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def send(operation, **asked):
            url = f"{simulated.url}/model/amazon.nova-lite-v1:0/{operation}"
            body = {"messages": user_says(sim_marker(**asked))}
            async with session.post(url, json=body) as response:
                return response.status, response.headers, await response.read()

        yield send


async def test_raw_colons_and_api_keys_are_taken_and_frames_are_real(post):
    status, headers, body = await post("converse-stream", output=8, events=8)
    assert (status, headers["Content-Type"]) == (200, "application/vnd.amazon.eventstream")
    kinds = [frame.header(":event-type") for frame in decode_frames(body)]
    assert kinds.count("contentBlockDelta") == 8
    assert kinds[-1] == "metadata"


async def test_a_frame_can_be_made_corrupt(post):
    _, _, body = await post("converse-stream", output=8, events=8, bad_crc_at=2)
    with pytest.raises(CorruptFrame, match="checksum") as caught:
        decode_frames(body)
    assert len(caught.value.before) == 3


async def test_a_whole_answer_can_break_off_too(post, simulated):
    with pytest.raises(aiohttp.ClientPayloadError):
        await post("converse", output=8, cut_after=10)
    assert simulated.bill.lines[0].outcome == "cut"


async def test_an_exception_frame_has_its_type_in_its_headers(post):
    asked = {"stream_exception": "modelStreamErrorException", "after": 1}
    _, _, body = await post("invoke-with-response-stream", **asked)
    last = decode_frames(body)[-1]
    assert last.header(":message-type") == "exception"
    assert last.header(":exception-type") == "modelStreamErrorException"


async def test_other_services_answer_redirects_pages_and_noise(post):
    status, headers, _ = await post("converse", raw="html")
    assert (status, headers["Content-Type"]) == (502, "text/plain; charset=utf-8")
    with pytest.raises(aiohttp.ClientError):
        await post("converse", raw="garbage")
    with pytest.raises(aiohttp.ClientError):
        await post("converse", raw="redirect")
