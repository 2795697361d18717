from __future__ import annotations

import pytest

from gateway.adapters.redis.replies import parts, receipt_of
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import Denied, Granted, NotDecided, Obstacle
from tests.fakes.ledgers import budget, plan


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
    stopped = receipt_of(asked, ["a", "STOPPED", 7, "org/acme"])
    assert stopped == NotDecided(
        request_id="a", obstacle=Obstacle.STOPPED, at_ms=7, about="org/acme"
    )


def test_a_denial_of_another_amount_than_was_asked_is_no_reply():
    with pytest.raises(GatewayError, match="does not fit"):
        receipt_of(plan("a", budget(4, 9)), ["a", "DENIED", 7, 0, 0, 8, 99, "", 5])
