"""How things are spelled for the Lua side; that both sides agree is shown by the conformance."""

from __future__ import annotations

import struct

from gateway.adapters.redis.questions import (
    edition_field,
    ending_fields,
    operation_fields,
    plan_fields,
    plan_keys,
    stop_field,
)
from gateway.admission.accounts import ShardKeys
from gateway.admission.operations import Operation
from gateway.admission.ports import Voiding
from gateway.domain.reservation import Seen, SeenKind
from tests.fakes.ledgers import ACME, DAY_MS, budget, lease, plan, posting, rate


def test_the_keys_of_a_plan_are_those_of_all_windows_it_may_look_at():
    claims = (budget(1, 9, rolling=1), rate(1, 9), lease(3))
    assert list(plan_keys(plan("a", *claims), ShardKeys("s7"))) == [
        "{s7}:usd:org/acme:rolling-day:UTC:2026-04-30",
        "{s7}:usd:org/acme:rolling-day:UTC:2026-05-01",
        "{s7}:usd:org/acme:rolling-day:UTC:2026-05-02",
        "{s7}:tokens:org/acme:9:60000",
        "{s7}:concurrency:org/acme",
    ]


def test_each_kind_of_claim_has_its_own_fields():
    asked = plan("a", rate(4, 9, unit=2), lease(3, enforced=False), division=(1, 5), scopes=(ACME,))
    assert list(plan_fields(asked, 8))[:2] == ["8", "30000"]
    *control, rungs = list(plan_fields(asked, None))[3:]
    assert control == ["1", "stop:org/acme", "0"]
    assert struct.unpack("<24d", rungs) == (
        1,
        2, 1, 5,
        3, 1, 4, 2, 9, 60_000, 0, 0, 0, 0,
        4, 0, 1, 0, 3, 0, 0, 0, 0, 0,
    )  # fmt: skip


def test_a_budgets_numbers_are_its_windows_and_how_long_they_count():
    claim = budget(2**53 - 1, 2**53 - 1, rolling=1)
    *_, rungs = plan_fields(plan("a", claim), None)
    assert struct.unpack("<14d", rungs)[4:] == (
        1, 1, 2**53 - 1, 0, 2**53 - 1,
        claim.current.start_ms, claim.following.start_ms, claim.following.end_ms, 31 * DAY_MS, 1,
    )  # fmt: skip


def test_control_fields_name_what_they_are_about():
    assert stop_field(ACME) == "stop:org/acme"
    assert edition_field(Seen(kind=SeenKind.KEY, name="AKIA1", version=3)) == "key:AKIA1"


def test_an_operation_is_its_number_what_was_answered_and_what_was_given_up():
    assert operation_fields(None) == ("", "", "")
    counted = Operation(number=9, acked=7, skipped=frozenset({6, 5}))
    assert operation_fields(counted) == ("9", "7", "5 6")


def test_an_ending_is_a_word_and_what_belongs_to_it():
    assert ending_fields(None) == ("",)
    assert ending_fields(Voiding(request_id="a")) == ("void",)
    assert ending_fields(posting("a", 5, tokens=2))[:4] == ("post", "5", "2", "2")
