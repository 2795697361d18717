from __future__ import annotations

from http import HTTPStatus

from gateway.admin.rest.budget_documents import (
    answer_of,
    budget_document,
    etag_of,
    facts_of,
    status_document,
)
from gateway.control.budgets import known_budgets, read_budget
from gateway.control.ports import AccountBalance
from gateway.domain.money import NanoUsd
from gateway.domain.scope import Scope
from gateway.policy.parse import parse_policies
from tests.fakes.clock import NOON
from tests.fakes.rules import bundle, policy

POLICIES = parse_policies({"acme.yaml": policy(usd=3)})
(BUDGET,) = known_budgets(POLICIES)


def test_equal_budgets_are_one_version_and_others_are_not():
    document = budget_document(BUDGET)
    assert etag_of(document) == etag_of(budget_document(BUDGET))
    (other,) = known_budgets(parse_policies({"acme.yaml": policy(usd=4)}))
    assert etag_of(document) != etag_of(budget_document(other))


def test_an_answer_says_where_a_new_budget_is_found():
    made = answer_of(bundle(), BUDGET.id, HTTPStatus.CREATED)
    assert made.location == f"/v1/budgets/{BUDGET.id}"
    assert answer_of(bundle(), BUDGET.id, HTTPStatus.OK).location is None


def test_what_is_kept_of_a_budget_is_short():
    assert facts_of(BUDGET.rule)["limit_usd"] == "3"


def test_what_is_left_is_never_less_than_nothing_and_amounts_are_exact():
    reading = read_budget(POLICIES, BUDGET, Scope.parse("org/acme"), NOON)
    balance = AccountBalance(posted=NanoUsd(3_000_000_001), pending=NanoUsd(1), overrun=NanoUsd(1))
    status = status_document(reading, balance)
    assert (status.spent_usd, status.held_usd, status.overrun_usd) == (
        "3.000000001",
        "0.000000001",
        "0.000000001",
    )
    assert status.remaining_usd == "0"
    assert status.used_percent == 100.0
