from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.adapters.http.jwks_source import MAX_DOCUMENT_BYTES, JwksSource
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import FakeClock
from tests.fakes.jwt_issuer import ec_key, jwk_of, key_set, rsa_key

OLD = key_set(jwk_of(ec_key(), "old"))
BOTH = key_set(jwk_of(ec_key(), "old"), jwk_of(rsa_key(), "new"))


class Issuer:
    """An issuer's web server; says what it is set to say."""

    def __init__(self) -> None:
        self.document = OLD
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, _request):
        self.requests += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return web.Response(body=self.document, status=self.status, headers=self.headers)


@pytest.fixture
async def issuer():
    return Issuer()


@pytest.fixture
async def address(issuer):
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/keys"))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def source(address, clock):
    async with aiohttp.ClientSession() as session:
        yield JwksSource(session, address, clock=clock)


async def unavailable(awaitable):
    with pytest.raises(GatewayError) as refused:
        await awaitable
    assert refused.value.reason is Reason.KEYS_UNAVAILABLE


async def test_keys_are_fetched_when_first_needed_and_kept(source, issuer):
    first = await source.find("old")
    assert first.key_id == "old"
    assert await source.find("old") is first
    assert await source.find(None) is first
    assert issuer.requests == 1


async def test_many_at_once_cause_one_fetch(source, issuer):
    issuer.may_answer.clear()
    finding = [asyncio.create_task(source.find("old")) for _ in range(20)]
    await issuer.was_asked.wait()
    issuer.may_answer.set()
    assert {key.key_id for key in await asyncio.gather(*finding)} == {"old"}
    assert issuer.requests == 1


async def test_a_waiter_that_gives_up_does_not_take_the_others_along(source, issuer):
    issuer.may_answer.clear()
    first = asyncio.create_task(source.find("old"))
    await issuer.was_asked.wait()
    second = asyncio.create_task(source.find("old"))
    first.cancel()
    issuer.may_answer.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    # The cancelled fetch counts as tried and failed: nobody knocks again at once.
    await unavailable(second)
    assert issuer.requests == 1


async def test_an_unknown_key_causes_one_fetch_in_an_interval(source, issuer, clock):
    await source.find("old")
    for _ in range(10):
        assert await source.find("new") is None
    assert issuer.requests == 1
    clock.advance(30)
    for i in range(10):
        assert await source.find(f"made-up-{i}") is None
    assert issuer.requests == 2


async def test_a_key_the_issuer_has_added_is_found_after_the_interval(source, issuer, clock):
    await source.find("old")
    issuer.document = BOTH
    assert await source.find("new") is None
    clock.advance(30)
    assert (await source.find("new")).key_id == "new"


async def test_keys_are_refreshed_when_they_are_old(source, issuer, clock):
    issuer.document = BOTH
    await source.find("new")
    issuer.document = OLD
    clock.advance(3600)
    assert await source.find("new") is None
    assert issuer.requests == 2


async def test_old_keys_go_on_counting_while_the_issuer_is_away_for_a_day(source, issuer, clock):
    await source.find("old")
    issuer.status = 503
    clock.advance(3600)
    assert (await source.find("old")).key_id == "old"
    clock.advance(23 * 3600 - 1)
    assert (await source.find("old")).key_id == "old"
    clock.advance(1)
    await unavailable(source.find("old"))


async def test_an_issuer_that_is_away_is_not_asked_at_every_call(source, issuer, clock):
    await source.find("old")
    issuer.status = 503
    clock.advance(3600)
    for _ in range(10):
        await source.find("old")
    assert issuer.requests == 2


async def test_an_unknown_key_of_an_issuer_that_is_away_cannot_be_judged(source, issuer, clock):
    await source.find("old")
    issuer.status = 503
    clock.advance(3600)
    await unavailable(source.find("new"))


async def test_without_any_keys_nothing_can_be_known_until_the_issuer_answers(
    source, issuer, clock
):
    issuer.status = 500
    await unavailable(source.find("old"))
    issuer.status = 200
    await unavailable(source.find("old"))
    clock.advance(30)
    assert (await source.find("old")).key_id == "old"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"<html>",
        b" " * (MAX_DOCUMENT_BYTES + 1),
        OLD + b" " * MAX_DOCUMENT_BYTES,
    ],
    ids=["empty", "no keys", "no JSON", "too large", "too large, and good"],
)
async def test_what_is_no_key_set_replaces_no_keys(source, issuer, clock, document):
    await source.find("old")
    issuer.document = document
    clock.advance(3600)
    assert (await source.find("old")).key_id == "old"
    await unavailable(source.find("new"))


async def test_a_large_key_set_within_the_bound_is_read_whole(source, issuer):
    issuer.document = OLD + b" " * (MAX_DOCUMENT_BYTES - len(OLD))
    assert (await source.find("old")).key_id == "old"


async def test_a_redirect_is_not_followed(source, issuer, address):
    issuer.status, issuer.headers = 302, {"Location": address}
    await unavailable(source.find("old"))
    assert issuer.requests == 1


async def test_an_issuer_that_hangs_is_given_up(address, issuer, clock):
    issuer.may_answer.clear()
    async with aiohttp.ClientSession() as session:
        source = JwksSource(session, address, clock=clock, timeout_s=0.05)
        await unavailable(source.find("old"))
    issuer.may_answer.set()


async def test_an_issuer_that_does_not_listen_is_unavailable(clock, unused_tcp_port):
    async with aiohttp.ClientSession() as session:
        source = JwksSource(session, f"http://127.0.0.1:{unused_tcp_port}/", clock=clock)
        await unavailable(source.find("old"))


@pytest.mark.parametrize("url", ["http://issuer.example/keys", "file:///etc/passwd", "ftp://a/b"])
async def test_an_address_that_can_be_tampered_with_is_refused(url, clock):
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="must be https"):
            JwksSource(session, url, clock=clock)
