import asyncio

import pytest

from gateway.adapters.outbox.adoption import survey
from gateway.admission.ports import Voiding
from gateway.admission.reference_ledger import HoldState
from gateway.compose.outbox import open_outbox, outbox_root
from gateway.domain.observer import EndingReplayed
from gateway.settings import load_settings
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver
from tests.fakes.troubled_ledger import TroubledLedger, away


@pytest.fixture
def settings(tmp_path):
    return load_settings({"GATEWAY_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def clock():
    return FakeClock()


async def test_an_outbox_that_ends_clean_leaves_nothing(settings, clock):
    async with open_outbox(settings, TroubledLedger(clock), RememberingObserver(), clock) as outbox:
        assert outbox.is_writing
        outbox.intent(posting("a", 1))
        assert [state.is_live for state in survey(outbox_root(settings))] == [True]
        outbox.ack("a")
    assert list(outbox_root(settings).iterdir()) == []


async def test_what_is_owed_at_the_end_is_brought_first(settings, clock):
    ledger, observer = TroubledLedger(clock), RememberingObserver()
    async with open_outbox(settings, ledger, observer, clock) as outbox:
        outbox.finish(Voiding(request_id="a"))
        outbox.defer("a")
    assert ledger.commands == [("void", "a")]
    assert observer.facts == [EndingReplayed(request_id="a", verdict="tombstoned")]
    assert survey(outbox_root(settings)) == ()


async def test_what_cannot_be_brought_is_adopted_by_the_next_worker(settings, clock):
    ledger, observer = TroubledLedger(clock), RememberingObserver()
    ledger.troubles["void"] = [away()]
    async with open_outbox(settings, ledger, observer, clock) as outbox:
        outbox.finish(Voiding(request_id="a"))
        outbox.defer("a")
    assert [(state.is_live, state.owed) for state in survey(outbox_root(settings))] == [(False, 1)]
    async with asyncio.timeout(10), open_outbox(settings, ledger, observer, clock):
        while len(survey(outbox_root(settings))) > 1:  # noqa: ASYNC110 - folders tell nobody
            await asyncio.sleep(0.01)
    assert ledger.state("a") is HoldState.VOIDED
    assert survey(outbox_root(settings)) == ()


async def test_two_workers_never_share_a_folder(settings, clock):
    ledger, observer = TroubledLedger(clock), RememberingObserver()
    async with (
        open_outbox(settings, ledger, observer, clock),
        open_outbox(settings, ledger, observer, clock),
    ):
        assert len(survey(outbox_root(settings))) == 2
    assert observer.facts == []


async def test_a_disk_that_fails_does_not_keep_a_worker_from_starting(settings, clock):
    outbox_root(settings).parent.mkdir(parents=True)
    outbox_root(settings).touch()
    observer = RememberingObserver()
    async with open_outbox(settings, TroubledLedger(clock), observer, clock) as outbox:
        assert not outbox.is_writing
    assert observer.facts[0].component == "outbox"
