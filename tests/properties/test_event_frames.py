"""Laws of the event-stream format, with botocore's own decoder as an independent oracle."""

from itertools import pairwise

import botocore.eventstream
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bedrock.event_frame import CorruptFrame, FrameDecoder, decode_frames, encode_frame
from gateway.bedrock.event_header import Byte, Integer, Long, Short, TimestampMs


def signed(kind, bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(kind)


VALUES = st.one_of(
    st.booleans(),
    signed(Byte, 8),
    signed(Short, 16),
    signed(Integer, 32),
    signed(Long, 64),
    signed(TimestampMs, 64),
    st.binary(max_size=40),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.uuids(),
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
FRAMES = st.tuples(
    st.lists(st.tuples(NAMES, VALUES), max_size=5).map(tuple), st.binary(max_size=300)
)
STREAMS = st.lists(FRAMES, max_size=6)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def encoded(stream):
    return b"".join(encode_frame(headers, payload) for headers, payload in stream)


@given(STREAMS)
def test_what_was_encoded_is_decoded_again_with_its_types(stream):
    frames = decode_frames(encoded(stream))
    assert [tuple(frame) for frame in frames] == stream
    types = [[type(value) for _, value in headers] for headers, _ in stream]
    assert [[type(value) for _, value in frame.headers] for frame in frames] == types


@given(STREAMS, st.lists(st.integers(0), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_frames(stream, places):
    data = encoded(stream)
    decoder = FrameDecoder()
    frames = [frame for chunk in cut(data, places) for frame in decoder.feed(chunk)]
    assert frames == decode_frames(data)
    assert decoder.at_boundary


@given(STREAMS.filter(bool), st.integers(0), st.integers(1, 255), st.lists(st.integers(0)))
def test_a_changed_byte_is_noticed_at_the_same_place_for_any_split(stream, at, flip, places):
    data = bytearray(encoded(stream))
    data[at % len(data)] ^= flip

    def outcome(chunks):
        decoder = FrameDecoder()
        frames = []
        for chunk in chunks:
            try:
                frames += decoder.feed(chunk)
            except CorruptFrame as corrupt:
                return [*frames, *corrupt.before], corrupt.reason
        return frames, decoder.at_boundary

    whole = outcome([bytes(data)])
    assert outcome(cut(bytes(data), places)) == whole
    assert whole[1] is not True


@given(st.binary(max_size=200), st.lists(st.integers(0), max_size=4))
def test_arbitrary_bytes_raise_nothing_but_corrupt_frame(data, places):
    decoder = FrameDecoder()
    for chunk in cut(data, places):
        try:
            decoder.feed(chunk)
        except CorruptFrame:
            assert not decoder.at_boundary


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.text(st.characters(codec="ascii"), min_size=1, max_size=9),
                st.one_of(st.text(st.characters(codec="utf-8"), max_size=9), st.binary(max_size=9),
                          st.booleans(), signed(Integer, 32), signed(Long, 64)),
                max_size=4,
            ),
            st.binary(max_size=100),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_botocore_reads_what_we_write(stream):
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(encoded([(tuple(headers.items()), payload) for headers, payload in stream]))
    assert [(message.headers, message.payload) for message in buffer] == stream


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_large_frame_in_small_chunks_is_put_together_again(size):
    payload = bytes(range(256)) * (size * 16)
    data = encode_frame((), payload)
    decoder = FrameDecoder()
    frames = []
    for at in range(0, len(data), size):
        frames += decoder.feed(data[at : at + size])
    assert frames[0].payload == payload
