from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.audit import (
    MAX_CONTEXT_CHARS,
    NOTHING_BEFORE,
    AuditOutcome,
    bounded,
    commitment_to,
    hash_of,
    next_entry,
)
from tests.fakes.audit import chain, event, mark

SALT = b"s" * 32


def test_the_first_entry_has_nothing_before_it_and_each_other_holds_the_hash_before_it():
    first, second, third = chain(3)
    assert [entry.seq for entry in (first, second, third)] == [1, 2, 3]
    assert first.previous == NOTHING_BEFORE
    assert second.previous == first.hash
    assert third.previous == second.hash


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "other"},
        {"seq": 2},
        {"event_id": "another"},
        {"at": event(99).at},
        {"action": "key.revoke"},
        {"outcome": AuditOutcome.FAILED},
        {"commitment": "0" * 64},
        {"previous": "1" * 64},
    ],
)
def test_the_hash_is_over_everything_but_what_can_be_erased(change):
    (entry,) = chain(1)
    assert hash_of(entry) == entry.hash
    assert hash_of(replace(entry, **change)) != entry.hash


def test_every_field_of_an_entry_is_hashed_or_committed_to():
    hashed = {"chain", "seq", "event_id", "at", "action", "outcome", "commitment", "previous"}
    (entry,) = chain(1)
    assert {field.name for field in fields(entry)} == hashed | {"hash", "details", "salt"}


def test_erased_details_change_no_hash():
    (entry,) = chain(1)
    assert hash_of(replace(entry, details=None, salt=None)) == entry.hash


def test_the_same_details_under_another_salt_have_another_commitment():
    entry = next_entry("main", None, event(1), SALT)
    other = next_entry("main", None, event(1), b"t" * 32)
    assert entry.details == other.details
    assert entry.commitment != other.commitment


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3), st.text(min_size=1))
def test_details_that_differ_anywhere_have_another_commitment(actor, resource, context, more):
    details = next_entry(
        "main", None, event(1, actor=actor, resource=resource, context=context), SALT
    ).details
    changed = (
        replace(details, actor=actor + more),
        replace(details, resource=resource + more),
        replace(details, context={**details.context, "\x00added": more}),
    )
    commitments = {commitment_to(entry, SALT) for entry in (details, *changed)}
    assert len(commitments) == 4


def test_a_context_is_cut_so_that_the_entry_fits_and_the_cut_is_marked():
    context = {"short": "x", "long": "y" * 100_000}
    cut = bounded(context)
    assert cut["short"] == "x"
    assert cut["long"].endswith("…")
    assert sum(map(len, cut.values())) <= MAX_CONTEXT_CHARS


def test_what_a_checkpoint_signs_names_chain_place_and_hash():
    first, second = chain(2)
    messages = {mark(first).message, mark(second).message, mark(chain(1, "b")[0]).message}
    assert len(messages) == 3
