"""Exchanges with the real Bedrock, replayed through the running gateway in pieces of any size."""

import json
from urllib.parse import unquote

import aiohttp
import pytest
from yarl import URL

from gateway.domain.tokens import TokenCounts
from gateway.sandbox.replay import Recording as Answer
from tests.fakes.recordings import recordings

# Smaller pieces take a write each, so the longest bodies travel in larger ones only.
OURS = {
    "requestMetadata",
    "maxTokens",
    "max_tokens",
    "max_new_tokens",
    "maxTokenCount",
    "max_gen_len",
    "max_tokens_to_sample",
    "max_completion_tokens",
}
HOLDERS = {"inferenceConfig", "textGenerationConfig"}
LONGEST_BODY = {1: 2_500, 7: 12_000, 1000: None, None: None}


async def replay(gateway, upstream, session, recording, piece_bytes):
    recorded = recording.response
    chunked = any(
        name.lower() == "transfer-encoding" and "chunked" in value
        for name, value in recorded.headers
    )
    upstream.expect(
        Answer(
            status=recorded.status,
            headers=recorded.headers,
            body=recorded.body,
            chunked=chunked or recording.operation.streams,
        ),
        piece_bytes=piece_bytes,
    )
    key = await gateway.key()
    url = URL(gateway.url + recording.request.path, encoded=True)
    headers = {"Authorization": f"Bearer {key.bearer}", "Content-Type": "application/json"}
    async with session.post(url, data=recording.request.body, headers=headers) as response:
        return response.status, dict(response.headers), await response.read()


def counts(record):
    return TokenCounts(
        input=record["input_tokens"],
        output=record["output_tokens"],
        cache_read=record["cache_read_tokens"],
        cache_write_5m=record["cache_write_5m_tokens"],
        cache_write_1h=record["cache_write_1h_tokens"],
    )


@pytest.mark.parametrize("piece_bytes", LONGEST_BODY, ids=lambda size: f"pieces of {size}")
async def test_the_caller_gets_the_recorded_bytes_and_the_record_the_stated_usage(
    gateway, upstream, piece_bytes
):
    longest = LONGEST_BODY[piece_bytes]
    chosen = [
        each for each in recordings() if longest is None or len(each.response.body) <= longest
    ]
    wrong, by_id = [], {}
    async with aiohttp.ClientSession() as session:
        for recording in chosen:
            status, headers, body = await replay(gateway, upstream, session, recording, piece_bytes)
            if status != recording.response.status:
                wrong.append(f"{recording.name}: status {status} {body[:200]!r}")
            elif recording.has_wire_bytes and body != recording.response.body:
                wrong.append(f"{recording.name}: {len(body)} other bytes")
            by_id[headers["x-gateway-request-id"]] = recording
    assert wrong == []
    for record in await gateway.settled():
        recording = by_id.pop(record["request_id"])
        if not recording.is_metered:
            wrong.append(f"{recording.name}: an error was charged")
        elif recording.expected is not None:
            wrong.append(recording.disagreement(counts(record)))
            if not record["exact"]:
                wrong.append(f"{recording.name}: estimated, {record['estimate_reason']}")
    assert [each for each in wrong if each is not None] == []
    assert [each.name for each in by_id.values() if each.is_metered] == []
    assert await gateway.pending() == 0
    assert len(chosen) == (len(recordings()) if longest is None else len(chosen)) > 50


async def test_bedrock_gets_what_the_caller_said_but_for_the_limit_and_the_tags(gateway, upstream):
    asked = [each for each in recordings() if each.request.body and each.is_metered]
    async with aiohttp.ClientSession() as session:
        for recording in asked:
            await replay(gateway, upstream, session, recording, None)
    assert len(upstream.requests) == len(asked) > 150
    for recording, sent in zip(asked, upstream.requests, strict=True):
        assert unquote(sent.target) == unquote(recording.request.path), recording.name
        assert ":" not in sent.target, recording.name
        wanted, got = json.loads(recording.request.body), json.loads(sent.body)
        assert without_ours(got) == without_ours(wanted), recording.name
        tag = got.get("requestMetadata") or json.loads(
            next(v for k, v in sent.headers if k.lower() == "x-amzn-bedrock-request-metadata")
        )
        assert tag["gateway-user"] == "ada", recording.name


def without_ours(tree):
    """The body without what the gateway may add: an output limit, and the tags."""
    if not isinstance(tree, dict):
        return tree
    kept = {key: without_ours(value) for key, value in tree.items() if key not in OURS}
    return {key: value for key, value in kept.items() if value != {} or key not in HOLDERS}


def test_all_recordings_are_there():
    assert len(recordings()) == 175
