from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from gateway.workers.lifeline import LIFELINE_VARIABLE, Lifeline, parse_word, word_of
from tests.fakes.ledgers import ACME, stop_of


@pytest.fixture
async def ends():
    """The supervisor's socket, and the child's line."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    line = Lifeline({LIFELINE_VARIABLE: str(theirs.detach())})
    with ours, contextlib.closing(line):
        yield ours, line
    await asyncio.sleep(0)


async def heard(ours, wanted):
    """Reads until a line was said."""
    said = b""
    async with asyncio.timeout(5):
        while wanted not in said.splitlines():
            said += await asyncio.get_running_loop().sock_recv(ours, 4096)
    return said.splitlines()


async def test_it_beats_from_the_moment_that_somebody_attends(ends):
    ours, line = ends
    line.tell_ready()
    attending = asyncio.create_task(line.broken())
    assert (await heard(ours, b"beat 0"))[0] == b"ready"
    attending.cancel()
    await asyncio.wait({attending})
    await heard(ours, b"beat 0")  # a process that drains its calls goes on beating


async def test_it_says_that_it_acted_upon_a_stop_when_it_has(ends):
    ours, line = ends
    acted = []
    line.listen(acted.append)
    attending = asyncio.create_task(line.broken())
    word = word_of(7, [stop_of(ACME)])
    ours.send(word[:20])
    await heard(ours, b"beat 0")
    assert acted == []
    ours.send(word[20:] + word_of(8, []))
    await heard(ours, b"beat 8")
    assert acted == [(stop_of(ACME),), ()]
    attending.cancel()


async def test_without_a_listener_nothing_is_acted_upon(ends):
    ours, line = ends
    attending = asyncio.create_task(line.broken())
    ours.send(word_of(7, [stop_of(ACME)]))
    await heard(ours, b"beat 0")
    assert line._acted_upon == 0
    attending.cancel()


@pytest.mark.parametrize("word", [b"", b"{}", b"[]", b'{"number":1,"stops":["{}"]}', b"\xff"])
def test_what_is_no_list_of_stops_is_an_error(word):
    with pytest.raises(ValueError, match=r"stops|Expecting|decode"):
        parse_word(word)


def test_a_word_is_one_line_and_read_back_whole():
    word = word_of(3, [stop_of(ACME, why="two\nlines")])
    assert word.count(b"\n") == 1
    assert parse_word(word) == (3, (stop_of(ACME, why="two\nlines"),))
