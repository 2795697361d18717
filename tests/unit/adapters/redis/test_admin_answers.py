from __future__ import annotations

import base64
import os

import pytest
import redis.asyncio

from gateway.adapters.redis.admin_answers import CLAIM_S, KEEP_S, RedisAnswers
from gateway.adapters.sealing import AesGcmSealer
from gateway.control.ports import AnswerState, KeptAnswer
from gateway.domain.errors import GatewayError

ANSWER = KeptAnswer(status=201, headers=(("Location", "/v1/keys/1"),), body=b'{"s":"a-canary"}')


def sealer():
    return AesGcmSealer(base64.b64encode(os.urandom(32)).decode())


@pytest.fixture
async def client(valkey_url):
    async with redis.asyncio.Redis.from_url(valkey_url) as connected:
        yield connected


async def test_a_name_is_claimed_once_and_then_answers_what_was_kept(client):
    seals = sealer()
    answers = RedisAnswers(client, seals)
    assert await answers.begin("n", "f") is AnswerState.FRESH
    assert await answers.begin("n", "f") is AnswerState.RUNNING
    assert await answers.begin("n", "other") is AnswerState.OTHER
    assert 0 < await client.ttl("gw:answer:n") <= CLAIM_S
    await answers.keep("n", "f", ANSWER)
    assert CLAIM_S < await client.ttl("gw:answer:n") <= KEEP_S
    # Another process, or the same one after a restart, with the same master key.
    assert await RedisAnswers(client, seals).begin("n", "f") == ANSWER
    assert await answers.begin("n", "other") is AnswerState.OTHER


async def test_a_name_that_was_released_is_free_again(client):
    answers = RedisAnswers(client, sealer())
    await answers.begin("n", "f")
    await answers.release("n")
    assert await answers.begin("n", "other") is AnswerState.FRESH


async def test_an_answer_lies_sealed_and_opens_for_its_own_name_only(client):
    answers = RedisAnswers(client, sealer())
    await answers.begin("n", "f")
    await answers.keep("n", "f", ANSWER)
    stored = await client.get("gw:answer:n")
    assert b"a-canary" not in stored
    assert b"a-canary" not in base64.b64decode(stored.split(b'"')[-2])
    await client.set("gw:answer:m", stored)
    assert await answers.begin("m", "f") is AnswerState.OTHER
    assert await RedisAnswers(client, sealer()).begin("n", "f") is AnswerState.OTHER


async def test_a_silent_server_is_an_error(unused_tcp_port):
    dead = redis.asyncio.Redis(port=unused_tcp_port)
    answers = RedisAnswers(dead, sealer())
    for work in (answers.begin("n", "f"), answers.keep("n", "f", ANSWER), answers.release("n")):
        with pytest.raises(GatewayError):
            await work
    await dead.aclose()
