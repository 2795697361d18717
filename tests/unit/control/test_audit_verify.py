from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.audit import AuditOutcome, hash_of, next_entry
from gateway.control.audit_verify import ChainCheck, FlawKind
from tests.fakes.audit import GenuineIsGenuine, chain, event, mark


def verdict(entries, checkpoints=()):
    """The first flaw, as `audit verify` finds it."""
    check = ChainCheck("main", checkpoints, GenuineIsGenuine())
    for entry in entries:
        flaw = check.take(entry)
        if flaw is not None:
            return flaw
    return check.finish()


def rehashed(entry, **changes):
    changed = replace(entry, **changes)
    return replace(changed, hash=hash_of(changed))


def rewritten(entries, first, **changes):
    """The chain as somebody would write it anew from one entry on, with all hashes in order."""
    out = list(entries[: first - 1])
    for at, entry in enumerate(entries[first - 1 :]):
        previous = out[-1].hash if out else entry.previous
        out.append(rehashed(entry, previous=previous, **(changes if at == 0 else {})))
    return out


def test_a_whole_chain_has_no_flaw_with_or_without_checkpoints():
    entries = chain(20)
    assert verdict(entries) is None
    assert verdict(entries, [mark(entry) for entry in entries]) is None
    assert verdict([]) is None


def test_it_says_how_many_entries_are_in_order_and_where_they_end():
    entries = chain(5)
    check = ChainCheck("main", (), GenuineIsGenuine())
    for entry in entries:
        assert check.take(entry) is None
    assert check.checked == 5
    assert check.head == entries[-1].hash


def test_an_erased_person_leaves_the_chain_whole():
    entries = chain(5)
    entries[2] = replace(entries[2], details=None, salt=None)
    assert verdict(entries, [mark(entries[-1])]) is None


@given(st.integers(1, 8), st.data())
def test_the_first_entry_that_was_altered_is_named(seq, data):
    entries = chain(8)
    change = data.draw(
        st.sampled_from(
            [
                {"action": "key.revoke"},
                {"outcome": AuditOutcome.FAILED},
                {"event_id": "nobody"},
                {"at": event(99).at},
                {"commitment": "0" * 64},
                {"hash": "0" * 64},
            ]
        )
    )
    entries[seq - 1] = replace(entries[seq - 1], **change)
    flaw = verdict(entries)
    assert (flaw.seq, flaw.kind) == (seq, FlawKind.ALTERED)
    assert f"entry {seq} of 'main'" in flaw.detail


@given(st.integers(1, 8))
def test_details_that_are_not_what_was_committed_to_are_named(seq):
    entries = chain(8)
    entry = entries[seq - 1]
    entries[seq - 1] = replace(entry, details=replace(entry.details, actor="cli:somebody@else"))
    flaw = verdict(entries)
    assert (flaw.seq, flaw.kind) == (seq, FlawKind.DETAILS_ALTERED)


@given(st.integers(1, 7))
def test_a_deleted_entry_is_named(seq):
    entries = chain(8)
    del entries[seq - 1]
    flaw = verdict(entries)
    assert (flaw.seq, flaw.kind) == (seq, FlawKind.MISSING)


@given(st.integers(1, 8), st.integers(1, 8))
def test_entries_that_changed_places_are_found_at_the_first_of_them(one, other):
    entries = chain(8)
    entries[one - 1], entries[other - 1] = entries[other - 1], entries[one - 1]
    flaw = verdict(entries)
    if one == other:
        assert flaw is None
    else:
        assert flaw.seq == min(one, other)


@given(st.integers(1, 8), st.integers(1, 8))
def test_entries_whose_contents_changed_places_under_their_numbers_are_found(one, other):
    entries = chain(8)
    first, second = entries[one - 1], entries[other - 1]
    entries[one - 1], entries[other - 1] = replace(second, seq=one), replace(first, seq=other)
    flaw = verdict(entries)
    if one == other:
        assert flaw is None
    else:
        assert (flaw.seq, flaw.kind) == (min(one, other), FlawKind.ALTERED)


def test_one_that_was_altered_and_given_its_own_hash_is_found_by_the_next_link():
    entries = chain(8)
    entries[3] = rehashed(entries[3], action="key.revoke")
    flaw = verdict(entries)
    assert (flaw.seq, flaw.kind) == (5, FlawKind.NOT_LINKED)


@given(st.integers(1, 8))
def test_a_chain_that_was_written_anew_is_found_by_a_checkpoint(seq):
    entries = chain(8)
    marks = [mark(entry) for entry in entries]
    flaw = verdict(rewritten(entries, seq, action="key.revoke"), marks)
    assert (flaw.seq, flaw.kind) == (seq, FlawKind.REWRITTEN)


@given(st.integers(0, 7))
def test_a_chain_that_was_cut_short_is_found_by_a_checkpoint(kept):
    entries = chain(8)
    flaw = verdict(entries[:kept], [mark(entries[-1])])
    assert (flaw.seq, flaw.kind) == (kept + 1, FlawKind.TRUNCATED)
    assert "had 8 entries" in flaw.detail


def test_two_entries_in_one_place_are_a_fork():
    entries = chain(5)
    rival = next_entry("main", entries[3], event(77), bytes(32))
    flaw = verdict([*entries, rival])
    assert (flaw.seq, flaw.kind) == (5, FlawKind.FORKED)


def test_two_signed_checkpoints_that_disagree_are_a_fork():
    entries = chain(5)
    rival = next_entry("main", entries[3], event(77), bytes(32))
    flaw = verdict(entries, [mark(entries[4]), mark(rival)])
    assert flaw.kind in {FlawKind.FORKED, FlawKind.REWRITTEN}
    assert flaw.seq == 5


def test_an_event_that_has_two_entries_is_found():
    entries = chain(3)
    again = next_entry("main", entries[-1], event(2), bytes(32))
    flaw = verdict([*entries, again])
    assert (flaw.seq, flaw.kind) == (4, FlawKind.FORKED)


def test_a_checkpoint_that_somebody_else_signed_is_said_to_be_forged():
    entries = chain(3)
    flaw = verdict(entries, [mark(entries[1], signature=b"mine")])
    assert (flaw.seq, flaw.kind) == (2, FlawKind.FORGED_CHECKPOINT)


def test_an_entry_of_another_chain_does_not_belong_here():
    entries = chain(3)
    flaw = verdict([entries[0], chain(2, "other")[1]])
    assert (flaw.seq, flaw.kind) == (2, FlawKind.FOREIGN)


@pytest.mark.parametrize("other", ["shadow", "event#1"])
def test_checkpoints_of_another_chain_say_nothing_of_this_one(other):
    assert verdict(chain(2), [mark(chain(9, other)[-1])]) is None
