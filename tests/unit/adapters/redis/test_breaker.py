"""The breaker: when it opens, what it costs while open, and how it closes again."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.adapters.redis.breaker import BreakerBounds, BreakerState, BreakingLedger
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered
from gateway.domain.reason import Reason
from gateway.domain.reservation import Granted, PostVerdict, VoidVerdict
from tests.fakes.ledgers import MIDNIGHT, budget, plan, posting
from tests.fakes.observers import RememberingObserver
from tests.fakes.troubled_ledger import Trouble, TroubledLedger, away

BOUNDS = BreakerBounds(failures=3, probe_interval_s=0.005, reserve_deadline_s=0.05)


class StoppedClock:
    def now(self):
        return MIDNIGHT


class Probe:
    """A server that answers when told to."""

    def __init__(self):
        self.answers = False
        self.asked = 0
        self.error = away()

    async def __call__(self):
        self.asked += 1
        if not self.answers:
            raise self.error


@pytest.fixture
def inner():
    return TroubledLedger(StoppedClock())


@pytest.fixture
def probe():
    return Probe()


@pytest.fixture
def observer():
    return RememberingObserver()


@pytest.fixture
async def breaker(inner, probe, observer):
    breaker = BreakingLedger(inner, probe, observer, BOUNDS, chance=lambda: 0.0)
    yield breaker
    await breaker.close()


async def fail(breaker, inner, times, trouble=Trouble.REQUEST_LOST):
    inner.troubles["void"] += [trouble] * times
    for _ in range(times):
        with pytest.raises(GatewayError):
            await breaker.void("x")


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the breaker tells nobody in between
            await asyncio.sleep(0)


async def until_half_open(breaker, probe):
    probe.answers = True
    await until(lambda: breaker.state is BreakerState.HALF_OPEN)


async def test_closed_it_passes_questions_and_answers_unchanged(breaker, inner):
    assert isinstance(await breaker.reserve(plan("a", budget(1, 10))), Granted)
    assert await breaker.post(posting("a", 1)) is PostVerdict.POSTED
    assert await breaker.void("b") is VoidVerdict.TOMBSTONED
    assert breaker.state is BreakerState.CLOSED
    assert [name for name, _ in inner.commands] == ["reserve", "post", "void"]


async def test_it_opens_after_failures_in_a_row_and_says_so_once(breaker, inner, observer):
    await fail(breaker, inner, 2)
    assert breaker.state is BreakerState.CLOSED
    await fail(breaker, inner, 1)
    assert breaker.state is BreakerState.OPEN
    assert breaker.openings == 1
    (fact,) = observer.facts
    assert isinstance(fact, ComponentFailed)
    assert fact.component == "ledger"


async def test_an_answer_in_between_starts_the_count_anew(breaker, inner):
    await fail(breaker, inner, 2)
    await breaker.void("y")
    await fail(breaker, inner, 2)
    assert breaker.state is BreakerState.CLOSED


async def test_a_denial_is_an_answer(breaker, inner):
    await fail(breaker, inner, 2)
    await breaker.reserve(plan("a", budget(11, 10)))
    await fail(breaker, inner, 2)
    assert breaker.state is BreakerState.CLOSED


async def test_open_it_refuses_at_once_and_asks_nobody(breaker, inner):
    await fail(breaker, inner, 3)
    asked = len(inner.commands)
    slowest_s = 0.0
    for _ in range(200):
        started_s = time.perf_counter()
        with pytest.raises(GatewayError) as caught:
            await breaker.reserve(plan("a", budget(1, 10)))
        slowest_s = max(slowest_s, time.perf_counter() - started_s)
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        assert caught.value.retry_after_s == 1.0
    assert len(inner.commands) == asked
    assert breaker.refused == 200
    assert slowest_s < 0.05  # 2 ms are meant; this machine may be busy


async def test_it_knocks_until_somebody_answers_then_lets_one_question_through(
    breaker, inner, probe, observer
):
    await fail(breaker, inner, 3)
    await until(lambda: probe.asked >= 3)
    assert breaker.state is BreakerState.OPEN
    await until_half_open(breaker, probe)
    assert await breaker.void("y") is VoidVerdict.TOMBSTONED
    assert breaker.state is BreakerState.CLOSED
    assert observer.facts[-1] == ComponentRecovered(component="ledger")


@pytest.mark.parametrize("error", [OSError("odd"), RuntimeError("a bug")])
async def test_whatever_a_probe_raises_the_next_one_is_made(breaker, inner, probe, error):
    probe.error = error
    await fail(breaker, inner, 3)
    await until(lambda: probe.asked >= 2)
    await until_half_open(breaker, probe)


async def test_while_the_trial_runs_all_others_are_refused(breaker, inner, probe):
    await fail(breaker, inner, 3)
    await until_half_open(breaker, probe)
    gate = inner.hold_up("void")
    inner.entered["void"].clear()
    trial = asyncio.create_task(breaker.void("trial"))
    await inner.entered["void"].wait()
    with pytest.raises(GatewayError):
        await breaker.void("other")
    gate.set()
    await trial
    assert breaker.state is BreakerState.CLOSED
    assert ("void", "other") not in inner.commands


async def test_a_trial_that_fails_opens_it_again_and_the_knocking_goes_on(
    breaker, inner, probe, observer
):
    await fail(breaker, inner, 3)
    await until_half_open(breaker, probe)
    await fail(breaker, inner, 1)
    assert breaker.state is BreakerState.OPEN
    await until(lambda: breaker.state is BreakerState.HALF_OPEN)
    await breaker.void("y")
    assert breaker.state is BreakerState.CLOSED
    assert breaker.openings == 1
    assert [type(fact) for fact in observer.facts] == [ComponentFailed, ComponentRecovered]


async def test_a_trial_that_is_cancelled_leaves_its_place_to_the_next(breaker, inner, probe):
    await fail(breaker, inner, 3)
    await until_half_open(breaker, probe)
    inner.hold_up("void")
    inner.entered["void"].clear()
    trial = asyncio.create_task(breaker.void("trial"))
    await inner.entered["void"].wait()
    trial.cancel()
    await asyncio.wait({trial})
    inner.gates.clear()
    await breaker.void("next")
    assert breaker.state is BreakerState.CLOSED


async def test_answers_to_old_questions_say_nothing_about_now(breaker, inner):
    gate = inner.hold_up("post")
    old = asyncio.create_task(breaker.post(posting("a", 1)))
    await inner.entered["post"].wait()
    await fail(breaker, inner, 3)
    gate.set()
    await old
    assert breaker.state is BreakerState.OPEN


async def test_failures_of_old_questions_do_not_open_it_again(breaker, inner, probe):
    inner.troubles["post"] = [Trouble.REPLY_LOST]
    gate = inner.hold_up("post")
    old = asyncio.create_task(breaker.post(posting("a", 1)))
    await inner.entered["post"].wait()
    await fail(breaker, inner, 3)
    await until_half_open(breaker, probe)
    gate.set()
    with pytest.raises(GatewayError):
        await old
    assert breaker.state is BreakerState.HALF_OPEN


async def test_a_bug_is_no_failure_of_the_ledger(breaker, inner):
    inner.troubles["void"] = [ValueError("a bug")] * 5
    for _ in range(5):
        with pytest.raises(ValueError, match="a bug"):
            await breaker.void("x")
    assert breaker.state is BreakerState.CLOSED


async def test_a_slow_admission_ends_at_its_deadline_and_counts_as_a_failure(breaker, inner):
    inner.hold_up("reserve")
    started_s = time.monotonic()
    for _ in range(3):
        with pytest.raises(GatewayError, match="deadline") as caught:
            await breaker.reserve(plan("a", budget(1, 10)))
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
    assert time.monotonic() - started_s < 2
    assert breaker.state is BreakerState.OPEN


async def test_an_ending_has_no_deadline_here(breaker, inner):
    gate = inner.hold_up("void")
    ending = asyncio.create_task(breaker.void("x"))
    done, _ = await asyncio.wait({ending}, timeout=2 * BOUNDS.reserve_deadline_s)
    assert not done
    gate.set()
    await ending


async def test_closing_ends_the_knocking(inner, probe, observer):
    breaker = BreakingLedger(inner, probe, observer, BOUNDS)
    await fail(breaker, inner, 3)
    await breaker.close()
    asked = probe.asked
    assert all(task.done() for task in asyncio.all_tasks() - {asyncio.current_task()})
    assert probe.asked == asked


async def test_a_breaker_that_never_opened_closes_too(breaker):
    await breaker.close()
