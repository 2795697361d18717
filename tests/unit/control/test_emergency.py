from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.control.emergency import LONGEST, EmergencyRequestError, Outcome, asked_stop
from tests.fakes.clock import NOON
from tests.fakes.ledgers import ACME


def test_a_stop_that_is_asked_for_says_who_why_and_until_when():
    stop = asked_stop(
        scope="org/acme", by=" ada ", why=" runaway ", now=NOON, lasts=timedelta(hours=2)
    )
    assert (stop.scope, stop.by, stop.why, stop.since) == (ACME, "ada", "runaway", NOON)
    assert stop.until == NOON + timedelta(hours=2)
    assert asked_stop(scope="platform", by="a", why="b", now=NOON).until is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"scope": "acme"}, "a scope is"),
        ({"why": " "}, "a reason has"),
        ({"why": "x" * 501}, "a reason has"),
        ({"by": ""}, "a name has"),
        ({"lasts": timedelta(0)}, "at most 366 days"),
        ({"lasts": LONGEST + timedelta(1)}, "at most 366 days"),
    ],
)
def test_what_cannot_be_given_is_said(asked, said):
    with pytest.raises(EmergencyRequestError, match=said):
        asked_stop(**{"scope": "platform", "by": "a", "why": "b", "now": NOON, **asked})


def test_it_is_done_when_all_who_were_asked_have_answered():
    assert Outcome(stop=None, scope=ACME).is_done
    assert Outcome(stop=None, scope=ACME, host_error="full").is_done
    assert not Outcome(stop=None, scope=ACME, ledger_error="gone").is_done
    assert not Outcome(stop=None, scope=ACME, host_only=True, host_error="full").is_done
