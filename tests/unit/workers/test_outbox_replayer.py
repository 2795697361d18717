import asyncio

import pytest

from gateway.adapters.redis.connection import unavailable
from gateway.admission.ports import Voiding
from gateway.domain.observer import EndingReplayed, UnexpectedError
from gateway.domain.reservation import PostVerdict, VoidVerdict
from gateway.workers.outbox_replayer import OutboxReplayer, ReplayBounds
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver
from tests.fakes.outboxes import MemoryOutbox


class Ledger:
    """Notes what it is told. `troubles` are raised first; `refused` ids are never taken."""

    def __init__(self, *troubles, refused=()):
        self.troubles, self.refused, self.told = list(troubles), refused, []
        self.heard = asyncio.Event()

    async def post(self, ending):
        return self._take(ending.request_id, ending, PostVerdict.POSTED)

    async def void(self, request_id):
        return self._take(request_id, request_id, VoidVerdict.VOIDED)

    def _take(self, request_id, told, verdict):
        self.heard.set()
        if self.troubles:
            raise self.troubles.pop(0)
        if request_id in self.refused:
            raise unavailable("not this one")
        self.told.append(told)
        return verdict


class Graveyard:
    """Implements `DeadOutboxes`: what is found, look by look."""

    def __init__(self, *looks):
        self.looks = list(looks)
        self.count = 0

    async def adopt(self):
        self.count += 1
        look = self.looks.pop(0) if self.looks else []
        if isinstance(look, Exception):
            raise look
        return look


class Bench:
    """A replayer and all that is around it."""

    def __init__(self, ledger=None, own=(), dead=(), **bounds):
        self.ledger, self.own = ledger or Ledger(), MemoryOutbox(own)
        self.graveyard, self.clock = Graveyard(*dead), FakeClock()
        self.observer, self.naps = RememberingObserver(), []
        self.replayer = OutboxReplayer(
            self.own,
            self.graveyard,
            self.ledger,
            self.observer,
            self.clock,
            bounds=ReplayBounds(**({"interval_s": 0.001} | bounds)),
            chance=lambda: 0.5,
            sleep=self.nap,
        )

    async def nap(self, seconds):
        self.naps.append(seconds)
        self.clock.advance(seconds)


A, B, VOID = posting("a", 1), posting("b", 2), Voiding(request_id="v")


async def test_posts_are_posted_and_voids_voided_and_each_is_told():
    bench = Bench(own=[A, VOID])
    assert await bench.replayer.replay_once()
    assert bench.ledger.told == [A, "v"]
    assert bench.observer.facts == [
        EndingReplayed(request_id="a", verdict="posted"),
        EndingReplayed(request_id="v", verdict="voided"),
    ]
    assert len(bench.own) == 0


async def test_what_the_dead_left_is_brought_and_then_closed():
    left = MemoryOutbox([A, B])
    bench = Bench(dead=[[left]])
    assert await bench.replayer.replay_once()
    assert bench.ledger.told == [A, B]
    assert left.is_closed


async def test_a_ledger_that_is_away_keeps_all_of_it():
    left = MemoryOutbox([B])
    bench = Bench(Ledger(unavailable("down"), unavailable("down")), own=[A], dead=[[left]])
    assert not await bench.replayer.replay_once()
    assert (len(bench.own), len(left), left.is_closed) == (1, 1, False)
    assert await bench.replayer.replay_once()
    assert bench.ledger.told == [A, B]
    assert left.is_closed


async def test_one_that_is_never_taken_holds_up_no_other():
    left = MemoryOutbox([VOID])
    bench = Bench(Ledger(refused={"a"}), own=[A, B], dead=[[left]])
    for _ in range(2):
        assert not await bench.replayer.replay_once()
    assert bench.ledger.told == ["v", B]
    assert [A.request_id] == bench.own.owed


async def test_a_bug_is_told_and_the_ending_kept():
    bench = Bench(Ledger(ZeroDivisionError()), own=[A])
    assert not await bench.replayer.replay_once()
    assert isinstance(bench.observer.facts[0], UnexpectedError)
    assert await bench.replayer.replay_once()
    assert bench.ledger.told == [A]


async def test_a_bug_of_the_adoption_is_told():
    bench = Bench(dead=[ZeroDivisionError()])
    assert not await bench.replayer.replay_once()
    assert isinstance(bench.observer.facts[0], UnexpectedError)


async def test_notes_that_cannot_be_read_now_are_no_success():
    bench = Bench(own=[A])
    bench.own.is_readable = False
    assert not await bench.replayer.replay_once()
    assert len(bench.own) == 1


async def test_the_dead_are_looked_for_now_and_then():
    bench = Bench(adopt_every_s=10)
    for seconds, looks in ((0, 1), (5, 1), (4, 1), (2.5, 2), (5, 2), (7, 3)):
        bench.clock.advance(seconds)
        await bench.replayer.replay_once()
        assert bench.graveyard.count == looks


async def test_many_endings_are_brought_no_faster_than_allowed():
    bench = Bench(own=[posting(str(n), n) for n in range(120)], rate_per_s=100, burst=20)
    start_s = bench.clock.monotonic_s()
    assert await bench.replayer.replay_once()
    assert bench.clock.monotonic_s() - start_s == pytest.approx(1.0)
    assert len(bench.ledger.told) == 120


async def test_it_runs_until_stopped_and_tries_again_what_failed():
    bench = Bench(Ledger(unavailable("down")), own=[A])
    running = asyncio.create_task(bench.replayer.run())
    async with asyncio.timeout(5):
        while len(bench.own):  # noqa: ASYNC110 - the outbox tells nobody
            await asyncio.sleep(0.001)
        bench.replayer.stop()
        await running
    assert bench.ledger.told == [A]


async def test_what_is_owed_when_it_stops_is_brought_a_last_time():
    left = MemoryOutbox([B])
    bench = Bench(Ledger(unavailable("down"), unavailable("down")), own=[A], dead=[[left]])
    await bench.replayer.replay_once()
    bench.replayer.stop()
    await bench.replayer.run()
    assert bench.ledger.told == [A]
    assert left.is_closed  # its lock is free: another worker may go on


async def test_a_ledger_that_hangs_does_not_keep_a_worker_from_ending():
    class Hanging(Ledger):
        async def post(self, ending):  # noqa: ARG002 - never answers
            await asyncio.Event().wait()

    bench = Bench(Hanging(), own=[A], last_s=0.01)
    bench.replayer.stop()
    async with asyncio.timeout(5):
        await bench.replayer.run()
    assert len(bench.own) == 1


async def test_a_stop_ends_an_ending_that_is_on_its_way_to_a_ledger_that_hangs():
    class Hanging(Ledger):
        async def post(self, ending):  # noqa: ARG002 - never answers
            self.heard.set()
            await asyncio.Event().wait()

    left = MemoryOutbox([A])
    bench = Bench(Hanging(), dead=[[left]], last_s=0.01)
    running = asyncio.create_task(bench.replayer.run())
    await bench.ledger.heard.wait()
    bench.replayer.stop()
    bench.replayer.stop()
    async with asyncio.timeout(5):
        await running
    assert left.is_closed
    assert len(left) == 1


async def test_a_stop_is_heard_between_two_endings():
    class Stopping(Ledger):
        def _take(self, request_id, told, verdict):
            bench.replayer.stop()
            return super()._take(request_id, told, verdict)

    left = MemoryOutbox([A, B])
    bench = Bench(Stopping(), dead=[[left]])
    assert not await bench.replayer.replay_once()
    assert bench.ledger.told == [A]
    assert len(left) == 1
