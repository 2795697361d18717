from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.admin.models.document import Given, Instant, Name, Query, ScopePath, Whole, iso
from gateway.domain.scope import Scope, is_scope_name
from tests.fakes.clock import NOON


class Order(Given):
    name: Name = "a"
    scope: ScopePath = Scope.platform()
    at: Instant = NOON
    count: Whole = 0


SCHEMA = Order.model_json_schema()["properties"]


@given(st.text(alphabet="aZ09._@+-/ é", max_size=70))
def test_the_description_of_a_name_says_what_its_check_does(text):
    described = re.fullmatch(SCHEMA["name"]["pattern"], text) is not None
    assert described is is_scope_name(text)


@pytest.mark.parametrize(
    "path", ["platform", "org/acme", "org/acme/team/web/user/ada", "org/acme/agent-type/x"]
)
def test_a_scope_is_a_path(path):
    assert Order.model_validate_json(f'{{"scope": "{path}"}}').scope == Scope.parse(path)
    assert re.fullmatch(SCHEMA["scope"]["pattern"], path)


@pytest.mark.parametrize("path", ["", "acme", "org", "org/a/b/c", "org/acme/team", "org//team/x"])
def test_what_is_no_scope_is_refused_and_described_as_none(path):
    with pytest.raises(ValidationError):
        Order.model_validate_json(f'{{"scope": "{path}"}}')
    assert not re.fullmatch(SCHEMA["scope"]["pattern"], path)


@pytest.mark.parametrize(
    "body",
    ['{"x": 1}', '{"name": 1}', '{"scope": 1}', '{"at": "2026-11-21T12:00:00"}', '{"count": "1"}',
     '{"count": 1.5}', '{"count": true}'],
)  # fmt: skip
def test_nothing_is_unknown_and_nothing_is_converted(body):
    with pytest.raises(ValidationError):
        Order.model_validate_json(body)


def test_a_whole_number_may_be_written_with_a_point():
    assert Order.model_validate_json('{"count": 60.0}').count == 60


def test_an_instant_is_text_in_documents():
    assert iso(NOON) == "2026-11-21T12:00:00+00:00"
    assert iso(None) is None


class Since(Query):
    at: Instant


@pytest.mark.parametrize("text", ["0.5", "1700000000", "2026-11-21", "2026-11-21T10:00:00", ""])
def test_an_instant_is_written_with_its_date_time_and_zone(text):
    assert Since.model_validate_strings({"at": "2026-11-21T10:00:00Z"}).at.year == 2026
    with pytest.raises(ValidationError):
        Since.model_validate_strings({"at": text})
