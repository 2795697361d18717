from __future__ import annotations

import pytest

from gateway.adapters.dynamodb.read_all import read_all
from gateway.domain.errors import GatewayError

TABLE = "t"


class Forgetful:
    """A server that answers for a few keys at a time, and that not always."""

    def __init__(self, *, answers, at_once=3):
        self.asked = []
        self._answers = answers
        self._at_once = at_once

    async def batch_get_item(self, *, RequestItems):  # noqa: N803 - AWS's own name
        keys = RequestItems[TABLE]["Keys"]
        assert RequestItems[TABLE]["ConsistentRead"]
        assert len(keys) <= 100
        self.asked.append(len(keys))
        served = keys[: self._at_once] if self._answers else []
        left = keys[len(served) :]
        items = [key for key in served if int(key["id"]["S"]) % 2 == 0]
        return {
            "Responses": {TABLE: items} if items else {},
            "UnprocessedKeys": {TABLE: {"Keys": left}} if left else {},
        }


async def no_wait(_seconds):
    return None


def keys(count):
    return [{"id": {"S": str(number)}} for number in range(count)]


async def test_what_the_server_left_out_is_asked_for_again():
    server = Forgetful(answers=True)
    items = await read_all(server, TABLE, keys(10), sleep=no_wait)
    assert sorted(int(item["id"]["S"]) for item in items) == [0, 2, 4, 6, 8]
    assert server.asked == [10, 7, 4, 1]


async def test_more_keys_than_one_question_holds_are_asked_in_parts():
    server = Forgetful(answers=True, at_once=100)
    assert len(await read_all(server, TABLE, keys(250), sleep=no_wait)) == 125
    assert server.asked == [100, 100, 50]


async def test_nothing_is_asked_for_no_keys():
    server = Forgetful(answers=True)
    assert await read_all(server, TABLE, [], sleep=no_wait) == []
    assert server.asked == []


async def test_a_server_that_never_answers_is_given_up():
    server = Forgetful(answers=False)
    with pytest.raises(GatewayError, match="unprocessed"):
        await read_all(server, TABLE, keys(2), sleep=no_wait)
    assert len(server.asked) == 8
