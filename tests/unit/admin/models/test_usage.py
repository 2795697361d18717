from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from gateway.admin.models.usage import LONGEST, RecordQuery, UsageRecordDocument
from tests.fakes.clock import NOON
from tests.fakes.records import document_of


def test_a_record_is_as_its_description_says():
    document = document_of()
    assert UsageRecordDocument.model_validate(document).model_dump(mode="json") == document


def query(**given):
    return RecordQuery.model_validate_strings(given)


def test_a_period_is_the_last_day_where_nothing_is_said():
    since, until = query().period(NOON)
    assert until - since == timedelta(days=1)
    assert since < NOON < until


def test_a_period_is_as_asked_for_but_not_longer_than_records_are_kept():
    asked = query(**{"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00+01:00"})
    assert asked.period(NOON) == (asked.since, asked.until)
    assert query(**{"from": "2001-01-01T00:00:00Z"}).period(NOON)[0] == NOON - LONGEST


@pytest.mark.parametrize(
    "given",
    [
        {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
        {"from": "2026-11-02"},
        {"from": "yesterday"},
        {"status": "fine"},
        {"org": "a b"},
        {"since": "2026-11-02T00:00:00Z", "x": "1"},
    ],
)
def test_what_cannot_be_is_refused(given):
    with pytest.raises(ValidationError):
        query(**given)
