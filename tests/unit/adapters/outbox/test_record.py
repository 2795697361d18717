import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.outbox.record import (
    MARKER,
    Kind,
    UnreadableNoteError,
    decode_ending,
    encode_ack,
    encode_finish,
    encode_intent,
    scan,
)
from gateway.admission.ports import Voiding
from gateway.domain.money import MAX_NANO_USD
from gateway.domain.reservation import Posting, Rank

IDS = st.text(min_size=1, max_size=60)
POSTINGS = st.builds(
    Posting,
    request_id=IDS,
    charge=st.integers(0, MAX_NANO_USD),
    tokens=st.integers(0, 2**53),
    rank=st.sampled_from(Rank),
    record=st.binary(max_size=300),
)
ENDINGS = POSTINGS | st.builds(Voiding, request_id=IDS)


@st.composite
def notes(draw):
    """A few encoded notes, none of which holds a marker in its record (JSON never does)."""
    ending = ENDINGS.filter(lambda e: isinstance(e, Voiding) or (MARKER[:1] not in e.record))
    kinds = st.one_of(
        ending.map(encode_finish),
        POSTINGS.filter(lambda p: MARKER[:1] not in p.record).map(encode_intent),
        IDS.map(encode_ack),
    )
    return draw(st.lists(kinds, min_size=1, max_size=8))


def read(data):
    return [data[n.offset : n.offset + n.size] for n in scan(data).notes]


@given(ending=ENDINGS)
def test_what_was_noted_is_read_back(ending):
    note = encode_finish(ending)
    assert decode_ending(note) == ending
    (found,) = scan(note).notes
    assert found.request_id == ending.request_id
    assert found.kind is (Kind.VOID if isinstance(ending, Voiding) else Kind.POST)


@given(worst=POSTINGS)
def test_an_intent_holds_what_to_charge_if_nobody_sees_the_end(worst):
    note = encode_intent(worst)
    assert decode_ending(note) == worst
    assert scan(note).notes[0].kind is Kind.INTENT


@given(written=notes())
def test_notes_lie_behind_one_another(written):
    found = scan(b"".join(written))
    assert [found.notes[0].offset, found.damaged, found.is_torn] == [0, 0, False]
    assert read(b"".join(written)) == written


@given(written=notes(), data=st.data())
def test_any_truncation_takes_only_what_it_cuts(written, data):
    whole = b"".join(written)
    cut = data.draw(st.integers(0, len(whole)))
    complete, size = [], 0
    for note in written:
        size += len(note)
        if size <= cut:
            complete.append(note)
    found = scan(whole[:cut])
    assert read(whole[:cut]) == complete
    assert found.damaged == 0
    assert found.is_torn is (cut != sum(map(len, complete)))


@given(written=notes(), data=st.data())
def test_any_flipped_bit_takes_only_the_note_it_hits(written, data):
    whole = bytearray(b"".join(written))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    end, hit = 0, None
    for number, note in enumerate(written):
        end += len(note)
        if hit is None and bit // 8 < end:
            hit = number
    assert read(bytes(whole)) == [n for number, n in enumerate(written) if number != hit]
    found = scan(bytes(whole))
    assert found.damaged + found.is_torn == 1


@given(garbage=st.binary(max_size=500))
def test_a_scan_never_raises_and_never_reads_money_out_of_garbage(garbage):
    assert scan(garbage).notes == ()


@given(written=notes(), garbage=st.binary(min_size=1, max_size=200))
def test_garbage_between_notes_is_counted_and_skipped(written, garbage):
    found = scan(written[0] + garbage + b"".join(written[1:]))
    assert len(found.notes) == len(written)
    assert found.damaged + found.is_torn == 1


def test_blocks_that_were_never_written_read_as_a_torn_end():
    note = encode_ack("id")
    found = scan(note + bytes(4096))
    assert (len(found.notes), found.damaged, found.is_torn) == (1, 0, True)


def test_an_empty_segment_holds_nothing():
    found = scan(b"")
    assert (found.notes, found.damaged, found.is_torn) == ((), 0, False)


def test_a_later_format_reads_as_damage_and_not_as_a_torn_end():
    later = encode_ack("id").replace(MARKER, b"\xffGO2")
    assert scan(later).damaged == 1
    assert not scan(later).is_torn


def test_no_text_of_a_caller_can_hold_the_marker():
    with pytest.raises(UnicodeDecodeError):
        MARKER.decode()


@pytest.mark.parametrize(
    "bytes_", [b"", b"x" * 40, encode_ack("id"), encode_ack("id")[:-1], encode_ack("id") + b"x"]
)
def test_what_is_no_ending_is_refused_by_name(bytes_):
    with pytest.raises(UnreadableNoteError):
        decode_ending(bytes_)


def test_a_sound_crc_alone_proves_no_ending():
    ending = Posting(
        request_id="id", charge=MAX_NANO_USD, tokens=1, rank=Rank.MEASURED, record=b"{}"
    )
    too_much = Posting(
        request_id="id", charge=MAX_NANO_USD + 1, tokens=1, rank=Rank.MEASURED, record=b"{}"
    )
    assert len(scan(encode_finish(ending)).notes) == 1
    assert scan(encode_finish(too_much)).notes == ()
