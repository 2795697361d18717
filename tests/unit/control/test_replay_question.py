from __future__ import annotations

from gateway.control.policy_replay import Changed, Replayed
from gateway.control.replay_question import ReplayAnswer, replay_document, shown_instant
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON


def test_programs_get_the_figures_and_the_calls_that_changed():
    at_ms = round(NOON.timestamp() * 1000)
    changed = Changed(
        request_id=RequestId("r1"), at_ms=at_ms, scope="org/acme", model="m", before=None,
        now=Reason.BUDGET_EXHAUSTED, detail="why", cost_nano_usd=NanoUsd(5),
    )  # fmt: skip
    result = Replayed(judged=3, saved=5, changed=[changed])
    document = replay_document(ReplayAnswer(result=result, unreadable=("record x: lacks y",)))
    assert (document["judged"], document["saved_nano_usd"]) == (3, 5)
    assert document["unreadable"] == ["record x: lacks y"]
    (one,) = document["changed"]
    assert (one["before"], one["now"]) == (None, "budget_exhausted")
    assert one["at"] == shown_instant(at_ms) == NOON.isoformat(timespec="milliseconds")
