"""The law of meters, over real recordings: equal for any split, and what the recording expects."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.model import Family
from gateway.domain.tokens import AtLeast, Exact
from gateway.metering.select import meter_for
from tests.fakes.recordings import metered_recordings, recordings

RECORDINGS = metered_recordings()
NAMES = [recording.name for recording in RECORDINGS]


def measured(recording, chunks, *, family=Family.UNKNOWN, complete=True):
    meter = meter_for(recording.operation, family, recording.response.headers)
    for chunk in chunks:
        meter.feed(chunk)
    return meter.finish(complete=complete)


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_all_recordings_are_there():
    assert len(recordings()) == 175
    assert len(RECORDINGS) == 169


@pytest.mark.parametrize("recording", RECORDINGS, ids=NAMES)
def test_every_recorded_answer_is_measured_exactly_and_as_expected(recording):
    whole = measured(recording, [recording.response.body])
    assert isinstance(whole, Exact)
    assert recording.disagreement(whole.usage.tokens) is None
    # The model's family may be unknown to us; recognising its keys gives the same.
    assert measured(recording, [recording.response.body], family=recording.family) == whole
    for size in (1, 13, 1460):
        assert measured(recording, cut(recording.response.body, size)) == whole


@given(st.sampled_from(RECORDINGS), st.lists(st.integers(0), max_size=12), st.integers(0))
@settings(max_examples=150, deadline=None)
def test_any_split_of_any_beginning_of_an_answer_gives_the_same_measurement(recording, places, end):
    body = recording.response.body
    body = body[: end % (len(body) + 1)]
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    chunks = [body[a:b] for a, b in pairwise(edges)]
    assert measured(recording, chunks, complete=False) == measured(
        recording, [body], complete=False
    )


@given(st.sampled_from(RECORDINGS), st.integers(0))
@settings(max_examples=150, deadline=None)
def test_a_cut_answer_never_measures_more_than_the_whole(recording, end):
    body = recording.response.body
    part = measured(recording, [body[: end % (len(body) + 1)]], complete=False)
    whole = measured(recording, [body])
    for bucket in ("input", "output", "cache_read", "cache_write"):
        assert getattr(part.usage.tokens, bucket) <= getattr(whole.usage.tokens, bucket)
    if isinstance(part, Exact):
        assert part.usage.tokens == whole.usage.tokens


STREAMS = [recording for recording in RECORDINGS if recording.operation.streams]


@given(st.sampled_from(STREAMS), st.integers(0), st.integers(1, 255), st.integers(1))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_a_stream_makes_it_a_lower_bound(recording, at, flip, size):
    body = bytearray(recording.response.body)
    body[at % len(body)] ^= flip
    result = measured(recording, cut(bytes(body), size % 5000 + 1))
    assert isinstance(result, AtLeast)
    assert result == measured(recording, [bytes(body)])


@given(st.sampled_from(RECORDINGS), st.integers(0), st.binary(max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_meter_never_raises_whatever_stands_in_an_answer(recording, at, junk):
    body = recording.response.body
    at %= len(body) + 1
    result = measured(recording, [body[:at] + junk + body[at + len(junk) :]])
    assert isinstance(result, Exact | AtLeast)
