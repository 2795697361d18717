from uuid import UUID

import pytest
from botocore.eventstream import EventStreamHeaderParser as OracleParser

from gateway.bedrock.event_header import (
    Byte,
    CorruptHeaders,
    Integer,
    Long,
    Short,
    TimestampMs,
    encode_headers,
    parse_headers,
)

ONE_OF_EACH = (
    ("true", True),
    ("false", False),
    ("byte", Byte(-128)),
    ("short", Short(32767)),
    ("integer", Integer(-(2**31))),
    ("long", Long(2**63 - 1)),
    ("bytes", b"\x00\xff"),
    ("string", "ünïcode"),
    ("timestamp", TimestampMs(8_675_309)),
    ("uuid", UUID("01020304-0506-0708-090a-0b0c0d0e0f10")),
)


def test_headers_of_every_type_survive_the_wire_with_their_types():
    parsed = parse_headers(encode_headers(ONE_OF_EACH))
    assert parsed == ONE_OF_EACH
    assert [type(value) for _, value in parsed] == [type(value) for _, value in ONE_OF_EACH]


def test_botocore_reads_every_type_but_the_timestamp_as_we_write_it():
    headers = tuple(header for header in ONE_OF_EACH if header[0] != "timestamp")
    read = OracleParser().parse(encode_headers(headers))
    # botocore 1.44 gives a uuid as its 16 bytes.
    assert {**read, "uuid": UUID(bytes=bytes(read["uuid"]))} == dict(headers)


def test_an_empty_block_has_no_headers():
    assert parse_headers(b"") == ()


def test_a_name_that_comes_twice_is_kept_twice_in_order():
    block = encode_headers((("a", "1"), ("b", "2"), ("a", "3")))
    assert parse_headers(block) == (("a", "1"), ("b", "2"), ("a", "3"))


@pytest.mark.parametrize("length", range(1, len(encode_headers(ONE_OF_EACH))))
def test_a_block_that_is_cut_anywhere_inside_a_header_is_corrupt(length):
    block = encode_headers(ONE_OF_EACH)
    ends = {len(encode_headers(ONE_OF_EACH[:count])) for count in range(len(ONE_OF_EACH))}
    if length in ends:
        assert len(parse_headers(block[:length])) < len(ONE_OF_EACH)
    else:
        with pytest.raises(CorruptHeaders, match=r"cut off|UTF-8"):
            parse_headers(block[:length])


def test_an_unknown_type_is_corrupt():
    with pytest.raises(CorruptHeaders, match="unknown header type 10"):
        parse_headers(b"\x01a\x0a")


@pytest.mark.parametrize("block", [b"\x01\xff\x00", b"\x01a\x07\x00\x01\xff"])
def test_a_name_or_string_that_is_not_utf8_is_corrupt(block):
    with pytest.raises(CorruptHeaders, match="UTF-8"):
        parse_headers(block)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n" * 256, "v"),
        ("n", "v" * 32_768),
        ("n", b"v" * 32_768),
        ("n", Byte(128)),
        ("n", Short(-32_769)),
        ("n", Integer(2**31)),
        ("n", Long(2**63)),
        ("n", TimestampMs(2**63)),
        ("n", 3),
    ],
)
def test_what_the_format_cannot_hold_is_refused_when_encoding(name, value):
    with pytest.raises(ValueError, match=r"at most|does not fit|its width"):
        encode_headers(((name, value),))
