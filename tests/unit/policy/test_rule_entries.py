"""A rule's place, and which overrides are left at an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.managed import Override
from gateway.policy.parse import parse_policies
from gateway.policy.rule_entries import Place
from gateway.policy.rulebook import rule_book

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEXT = (
    "version: 1\norg: acme\nbudgets:\n  - {name: d, scope: user, period: day, limit_usd: 1}\n"
    "limits:\n  - {scope: user, requests_per_minute: 1}\n"
    "scopes:\n  team/web:\n    models: {allow: ['*']}\n"
)


def override(number, hours):
    return Override.model_validate(
        {
            "id": f"o{number}", "org": "acme", "scope": "org/acme", "limit": "d", "by": "eve",
            "why": "x", "until": NOON + timedelta(hours=hours),
        }
    )  # fmt: skip


@given(st.lists(st.integers(-5, 5), max_size=6), st.integers(-6, 6))
def test_the_overrides_of_an_instant_are_those_that_have_not_ended(ends, hours):
    overrides = [override(number, end) for number, end in enumerate(ends)]
    book, at = rule_book([], overrides=overrides), NOON + timedelta(hours=hours)
    assert {one.id for one in book.overrides_at(at)} == {
        one.id for one in overrides if one.is_in_force(at)
    }
    assert book.overrides_at(None) == ()


def test_a_place_is_a_line_or_an_id():
    book = parse_policies({"a.yaml": TEXT}).book("acme")
    budget, limit = book.budgets[0], book.limits[0]
    assert (budget.label, budget.place.source) == ("d", "a.yaml:4")
    assert (limit.label, limit.place.source) == ("user", "a.yaml:6")
    assert str(budget.place.problem("dear", "limit_usd")) == "a.yaml:4:52: dear"
    assert [section.source() for section in book.sections] == ["a.yaml:1", "a.yaml:9"]
    assert book.sections[1].source("models", "allow") == "a.yaml:9"


def test_a_rule_by_api_stands_in_no_file():
    place = Place(file=None, api_id="b1")
    assert place.source == "api:b1"
    assert str(place.problem("dear", "limit_usd")) == "api:b1: dear"
