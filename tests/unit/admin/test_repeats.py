from __future__ import annotations

from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.admin.problem import ProblemError
from gateway.admin.repeats import idempotency_key, once
from gateway.domain.errors import GatewayError
from tests.fakes.admin import MemoryAnswers

NAME = ("AKIA", "/v1/keys", "k-1")


class Work:
    def __init__(self, error=None):
        self.done = 0
        self.error = error

    async def __call__(self):
        self.done += 1
        if self.error is not None:
            raise self.error
        body = f'{{"n":{self.done}}}'.encode()
        headers = {"ETag": '"1"', "Location": "/v1/keys/1", "X-Other": "no"}
        return web.Response(status=201, body=body, headers=headers)


@pytest.mark.parametrize("values", [["a b"], ["x" * 129], [""], ["a", "b"], ["é"]])
def test_a_key_that_is_none_is_refused(values):
    request = make_mocked_request("POST", "/", headers=[("Idempotency-Key", v) for v in values])
    with pytest.raises(ProblemError) as refused:
        idempotency_key(request)
    assert refused.value.status == 400


def test_a_request_may_have_no_key():
    assert idempotency_key(make_mocked_request("POST", "/")) is None


async def test_a_repeated_request_is_carried_out_once_and_answered_the_same():
    store, work = MemoryAnswers(), Work()
    first = await once(store, NAME, b"{}", work)
    again = await once(store, NAME, b"{}", work)
    assert work.done == 1
    assert (again.status, again.body) == (first.status, first.body) == (201, b'{"n":1}')
    assert again.headers["Location"] == "/v1/keys/1"
    assert again.headers["ETag"] == '"1"'
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "X-Other" not in again.headers


async def test_another_body_under_the_same_key_is_a_conflict():
    store, work = MemoryAnswers(), Work()
    await once(store, NAME, b"{}", work)
    with pytest.raises(ProblemError) as refused:
        await once(store, NAME, b'{"a":1}', work)
    assert (refused.value.status, refused.value.kind) == (409, "idempotency_key_reused")
    assert work.done == 1


async def test_a_request_that_is_under_way_is_not_begun_again():
    store = MemoryAnswers()

    async def meanwhile():
        with pytest.raises(ProblemError) as refused:
            await once(store, NAME, b"{}", Work())
        assert refused.value.kind == "still_running"
        assert refused.value.headers["Retry-After"] == "1"
        return web.Response(body=b"{}")

    await once(store, NAME, b"{}", meanwhile)


@pytest.mark.parametrize(
    "error", [ProblemError(HTTPStatus.CONFLICT, "x", "y"), RuntimeError("bug")]
)
async def test_what_failed_may_be_tried_again_with_the_same_key(error):
    store = MemoryAnswers()
    with pytest.raises(type(error)):
        await once(store, NAME, b"{}", Work(error))
    assert (await once(store, NAME, b'{"other":1}', Work())).status == 201


async def test_without_its_store_nothing_is_begun():
    store, work = MemoryAnswers(), Work()
    store.is_available = False
    with pytest.raises(GatewayError):
        await once(store, NAME, b"{}", work)
    assert work.done == 0


async def test_what_was_done_is_answered_though_it_cannot_be_kept():
    store = MemoryAnswers()

    async def work():
        store.is_available = False
        return web.Response(body=b'{"n":1}')

    assert (await once(store, NAME, b"{}", work)).body == b'{"n":1}'


async def test_other_names_are_other_requests():
    store, work = MemoryAnswers(), Work()
    await once(store, NAME, b"{}", work)
    await once(store, ("AKIB", *NAME[1:]), b"{}", work)
    assert work.done == 2
