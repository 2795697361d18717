from __future__ import annotations

import pytest

from gateway.adapters.redis.replies import parts, receipt_of
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import Denied, Granted, NotDecided, Obstacle
from gateway.domain.scope import Scope
from gateway.domain.stop import encode_stop
from tests.fakes.ledgers import ACME, budget, plan, stop_of


def test_texts_and_integers_are_read_and_nothing_else():
    assert parts([b"a", 7]) == ["a", 7]
    for strange in (b"a", None, [None], [[b"a"]], 7):
        with pytest.raises(GatewayError, match="unknown form"):
            parts(strange)


def test_a_grant_a_denial_and_an_obstacle_are_told_apart():
    asked = plan("a", budget(4, 9), division=(2, 5))
    granted = receipt_of(asked, ["a", "GRANTED", 7, 0, 1, 3, 4, 99])
    assert isinstance(granted, Granted)
    assert (granted.at_ms, granted.n, granted.repeated) == (7, 3, True)
    denied = receipt_of(asked, ["a", "DENIED", 7, 0, 0, 8, 99, "", 4])
    assert isinstance(denied, Denied)
    assert (denied.wanted, denied.wait_ms, denied.blocking.used) == (4, None, 8)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_stopped_call_is_told_by_which_stop(is_readable):
    asked = plan("a", budget(4, 9), scopes=(Scope.platform(), ACME))
    stop = stop_of(why="because")
    note = encode_stop(stop) if is_readable else "{"
    stopped = receipt_of(asked, ["a", "STOPPED", 7, "org/acme", note])
    assert isinstance(stopped, NotDecided)
    assert (stopped.obstacle, stopped.at_ms, stopped.about) == (Obstacle.STOPPED, 7, "org/acme")
    if is_readable:
        assert stopped.stop == stop
    else:
        assert (stopped.stop.scope, stopped.stop.until) == (ACME, None), "for ever, if in doubt"


def test_a_stop_of_somebody_else_or_of_nobody_is_no_reply():
    asked = plan("a", budget(4, 9), scopes=(ACME,))
    for reply in (["a", "STOPPED", 7, "org/other", "{}"], ["a", "STOPPED", 7, "org/acme"]):
        with pytest.raises(GatewayError, match="does not fit"):
            receipt_of(asked, reply)


def test_a_denial_of_another_amount_than_was_asked_is_no_reply():
    with pytest.raises(GatewayError, match="does not fit"):
        receipt_of(plan("a", budget(4, 9)), ["a", "DENIED", 7, 0, 0, 8, 99, "", 5])
