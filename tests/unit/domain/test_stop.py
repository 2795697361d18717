from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.scope import Scope
from gateway.domain.stop import (
    Stop,
    UnreadableStop,
    decode_stop,
    encode_stop,
    instant_ms,
    latest,
    unreadable_stop,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ACME = Scope.org("acme")

instants = st.datetimes(
    min_value=NOON.replace(year=1990, tzinfo=None),
    max_value=NOON.replace(year=2200, tzinfo=None),
    timezones=st.just(UTC),
).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
stops = st.builds(
    Stop,
    scope=st.sampled_from([Scope.platform(), ACME, Scope.parse("org/acme/team/web/user/ada")]),
    by=words,
    why=words
    | st.sampled_from(['"until_ms":1', '{"restored":true', '\\"until_ms\\":12', "until_ms"]),
    since=instants,
    until=st.none() | instants,
)


def stop(until=None, *, since=NOON, scope=ACME):
    return Stop(scope=scope, by="ada", why="runaway agent", since=since, until=until)


@given(stops)
def test_what_is_written_down_is_read_back_whole(stop):
    assert decode_stop(encode_stop(stop)) == stop


@given(stops)
def test_no_reason_passes_for_an_end_where_the_ledger_looks_for_one(stop):
    found = re.findall(r'"until_ms":(\d+)', encode_stop(stop))
    assert found == ([] if stop.until is None else [str(instant_ms(stop.until))])
    assert not encode_stop(stop).startswith('{"restored"')


def test_it_stands_until_its_end_and_without_one_for_ever():
    assert stop().stands_at(datetime.max.replace(tzinfo=UTC))
    ending = stop(NOON + timedelta(hours=2))
    assert ending.stands_at(NOON + timedelta(hours=2) - timedelta(milliseconds=1))
    assert not ending.stands_at(NOON + timedelta(hours=2))


def test_the_caller_is_told_since_when_and_until_when_and_not_by_whom_or_why():
    notice = stop(NOON + timedelta(hours=2)).notice
    assert "org/acme are stopped since 2026-11-21T12:00:00.000Z" in notice
    assert "until 2026-11-21T14:00:00.000Z" in notice
    assert "until an operator restores them" in stop().notice
    assert "ada" not in notice
    assert "runaway" not in notice


def test_of_two_stops_the_longer_counts():
    short, long, endless = stop(NOON), stop(NOON + timedelta(hours=1)), stop()
    assert latest(short, long) == latest(long, short) == long
    assert latest(endless, long) == endless
    assert latest(stop(since=NOON + timedelta(1)), endless).since == NOON + timedelta(1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "list indices"),
        ("{}", "'until'"),
        ('{"until": null, "scope": "acme"}', "a scope is"),
        ('{"until": null, "scope": 7}', "'scope' is no text"),
        ('{"until": null, "scope": "platform", "by": "a"}', "'why'"),
        ('{"until": null, "scope": "platform", "by": "a", "why": "b", "since": "x"}', "isoformat"),
        (
            '{"until": null, "scope": "platform", "by": "a", "why": "b", "since": "2026-01-01"}',
            "has no zone",
        ),
        ("[" * 100_000, ""),
        (b"\xff\xfe\x00", ""),
    ],
)
def test_what_is_no_stop_is_said_to_be_none_and_why(text, said):
    with pytest.raises(UnreadableStop, match=re.escape(said) if said else None):
        decode_stop(text)


def test_another_zone_is_the_same_instant():
    text = encode_stop(stop()).replace("12:00:00.000Z", "14:00:00.000+02:00")
    assert decode_stop(text).since == NOON.astimezone(timezone(timedelta(hours=2)))


def test_what_cannot_be_read_stands_for_ever():
    unreadable = unreadable_stop(ACME, "it is torn")
    assert unreadable.until is None
    assert (unreadable.scope, unreadable.why) == (ACME, "it is torn")
