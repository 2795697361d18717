import struct
from zlib import crc32

import pytest

from gateway.bedrock.event_frame import (
    MAX_FRAME_BYTES,
    MAX_HEADERS_BYTES,
    CorruptFrame,
    Frame,
    FrameDecoder,
    decode_frames,
    encode_frame,
)
from gateway.bedrock.event_header import Integer

# The published test vectors of the format: hexadecimal frame, headers, payload.
EMPTY = bytes.fromhex("000000100000000005c248eb7d98c8ff")
JSON_FRAME = bytes.fromhex(
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
    "7b27666f6f273a27626172277d8d9c08b1"
)
INTEGER_FRAME = bytes.fromhex(
    "0000002d0000001041c424b80a6576656e742d74797065040000a00c7b27666f6f273a27626172277d36f480a0"
)
BARE_FRAME = bytes.fromhex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936")
PUBLISHED = (
    (EMPTY, Frame((), b"")),
    (JSON_FRAME, Frame((("content-type", "application/json"),), b"{'foo':'bar'}")),
    (INTEGER_FRAME, Frame((("event-type", Integer(40_972)),), b"{'foo':'bar'}")),
    (BARE_FRAME, Frame((), b"{'foo':'bar'}")),
)
HEADERS = ((":event-type", "chunk"), (":message-type", "event"))


def prelude(total, headers_bytes):
    lengths = struct.pack(">II", total, headers_bytes)
    return lengths + struct.pack(">I", crc32(lengths))


def changed(frame, at):
    return frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]


@pytest.mark.parametrize(("data", "frame"), PUBLISHED)
def test_the_published_vectors_are_read_and_written(data, frame):
    assert decode_frames(data) == [frame]
    assert encode_frame(frame.headers, frame.payload) == data


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (3, "prelude checksum mismatch"),  # corrupted_length
        (7, "prelude checksum mismatch"),  # corrupted_header_len
        (20, "message checksum mismatch"),  # corrupted_headers
        (-10, "message checksum mismatch"),  # corrupted_payload
    ],
)
def test_the_published_corruptions_are_noticed(at, reason):
    data = bytearray(JSON_FRAME)
    data[at] += 1
    with pytest.raises(CorruptFrame, match=reason):
        decode_frames(bytes(data))


def test_a_frame_finds_its_headers_by_name():
    (frame,) = decode_frames(encode_frame(HEADERS, b""))
    assert frame.header(":event-type") == "chunk"
    assert frame.header(":date") is None


@pytest.mark.parametrize("size", [1, 2, 3, 11, 12, 13, 40, 61, 62, 1000])
def test_any_size_of_chunks_gives_the_same_frames(size):
    data = EMPTY + JSON_FRAME + encode_frame(HEADERS, b"x" * 500) + EMPTY
    decoder = FrameDecoder()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    frames = [frame for part in chunks for frame in decoder.feed(part)]
    assert frames == decode_frames(data)
    assert decoder.at_boundary


def test_a_stream_is_at_a_boundary_only_between_frames():
    decoder = FrameDecoder()
    assert decoder.at_boundary
    decoder.feed(JSON_FRAME[:5])
    assert not decoder.at_boundary
    decoder.feed(JSON_FRAME[5:])
    assert decoder.at_boundary
    decoder.feed(b"")
    assert decoder.at_boundary


@pytest.mark.parametrize("at", range(len(JSON_FRAME)))
def test_every_changed_byte_is_noticed(at):
    with pytest.raises(CorruptFrame):
        decode_frames(changed(JSON_FRAME, at))


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (3, "prelude checksum mismatch"),
        (7, "prelude checksum mismatch"),
        (20, "message checksum mismatch"),
        (50, "message checksum mismatch"),
        (60, "message checksum mismatch"),
    ],
)
def test_the_reason_says_which_checksum_is_wrong(at, reason):
    with pytest.raises(CorruptFrame, match=reason):
        decode_frames(changed(JSON_FRAME, at))


@pytest.mark.parametrize(
    ("total", "headers_bytes", "reason"),
    [
        (15, 0, "below that of an empty frame"),
        (0, 0, "below that of an empty frame"),
        (MAX_FRAME_BYTES + 1, 0, "total length is above the limit"),
        (2**32 - 1, 0, "total length is above the limit"),
        (MAX_FRAME_BYTES, MAX_HEADERS_BYTES + 1, "headers length is above the limit"),
        (16, 1, "headers length is above the total length"),
        (100, 85, "headers length is above the total length"),
    ],
)
def test_wrong_lengths_are_refused_by_the_prelude_alone(total, headers_bytes, reason):
    decoder = FrameDecoder()
    with pytest.raises(CorruptFrame, match=reason):
        decoder.feed(prelude(total, headers_bytes))
    assert not decoder.at_boundary


def test_wrong_lengths_are_refused_however_the_prelude_is_split():
    decoder = FrameDecoder()
    for byte in prelude(2**31, 0)[:-1]:
        assert decoder.feed(bytes((byte,))) == []
    with pytest.raises(CorruptFrame, match="above the limit"):
        decoder.feed(prelude(2**31, 0)[-1:])


def test_headers_that_do_not_fill_their_block_are_corrupt():
    block = b"\x05ab"
    message = prelude(len(block) + 16, len(block)) + block
    with pytest.raises(CorruptFrame, match="cut off"):
        decode_frames(message + struct.pack(">I", crc32(message)))


def test_frames_before_a_corrupt_one_are_not_lost():
    decoder = FrameDecoder()
    with pytest.raises(CorruptFrame) as caught:
        decoder.feed(EMPTY + JSON_FRAME + changed(JSON_FRAME, 30) + EMPTY)
    assert caught.value.before == tuple(decode_frames(EMPTY + JSON_FRAME))


def test_nothing_after_a_corrupt_frame_is_read():
    decoder = FrameDecoder()
    with pytest.raises(CorruptFrame, match="message checksum"):
        decoder.feed(changed(JSON_FRAME, 30))
    with pytest.raises(CorruptFrame, match="message checksum") as caught:
        decoder.feed(JSON_FRAME)
    assert caught.value.before == ()
    assert not decoder.at_boundary


def test_a_stream_that_ends_inside_a_frame_is_truncated():
    with pytest.raises(CorruptFrame, match="truncated") as caught:
        decode_frames(EMPTY + JSON_FRAME[:-1])
    assert caught.value.before == (Frame((), b""),)


def test_only_wanted_frames_are_handed_out_but_all_are_checked():
    text = encode_frame(((":event-type", "text"),), b"hello")
    usage = encode_frame(((":event-type", "usage"),), b"3")
    decoder = FrameDecoder(wanted=lambda headers: headers[0][1] == "usage")
    assert [frame.payload for frame in decoder.feed(text + usage + text + usage)] == [b"3", b"3"]
    with pytest.raises(CorruptFrame):
        decoder.feed(changed(text, len(text) - 6))


def test_whether_frames_are_wanted_is_asked_once_for_the_same_headers():
    asked = []
    decoder = FrameDecoder(wanted=lambda headers: bool(asked.append(headers)))
    for _ in range(10):
        decoder.feed(encode_frame(HEADERS, b"a") + encode_frame(HEADERS, b"b"))
    assert asked == [HEADERS]


def test_a_stream_whose_headers_never_repeat_is_read_all_the_same():
    data = b"".join(encode_frame(((":date", f"{n}"),), b"") for n in range(500))
    assert [frame.headers[0][1] for frame in decode_frames(data)] == [f"{n}" for n in range(500)]


def test_the_largest_frame_passes_and_one_byte_more_does_not():
    headers = (("h", b"v" * 100),)
    block_bytes = len(encode_frame(headers, b"")) - 16
    payload = bytes(MAX_FRAME_BYTES - block_bytes - 16)
    data = encode_frame(headers, payload)
    assert len(data) == MAX_FRAME_BYTES
    decoder = FrameDecoder()
    frames = []
    for at in range(0, len(data), 1 << 20):
        frames += decoder.feed(data[at : at + (1 << 20)])
    assert len(frames[0].payload) == len(payload)
    with pytest.raises(ValueError, match="at most"):
        encode_frame(headers, payload + b"x")


def test_more_headers_than_the_limit_are_not_written():
    headers = tuple((f"{n}", b"v" * 32_000) for n in range(5))
    with pytest.raises(ValueError, match=f"at most {MAX_HEADERS_BYTES} bytes of headers"):
        encode_frame(headers, b"")


def test_a_smaller_limit_can_be_set():
    with pytest.raises(CorruptFrame, match="above the limit"):
        FrameDecoder(60).feed(JSON_FRAME)
