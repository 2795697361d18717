from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.batch import (
    MAX_ACTIONS,
    MAX_BATCH_BYTES,
    MAX_ITEM_BYTES,
    ROW_BYTES,
    full_jitter_s,
    prepare,
    split,
)
from gateway.journal.change import Change
from tests.fakes.records import document_of


def change(number, size_bytes=100, **names):
    return replace(Change.of(document_of(f"r{number}", **names)), size_bytes=size_bytes)


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=1, max_value=MAX_ITEM_BYTES),
            st.sampled_from(["acme", "umbrella"]),
            st.integers(0, 40),
        ),
        max_size=150,
    )
)
def test_batches_keep_their_bounds_and_lose_nothing(wanted):
    changes = [
        change(number, size, org=org, user=f"u{user}")
        for number, (size, org, user) in enumerate(wanted)
    ]
    batches = split(changes)
    together = [each.request_id for batch in batches for each in batch]
    assert sorted(together) == sorted(each.request_id for each in changes)
    for batch in batches:
        rows = {row for each in batch for row in each.rows}
        assert 1 < len(batch) + len(rows) <= MAX_ACTIONS
        size = sum(each.size_bytes for each in batch) + ROW_BYTES * len(rows)
        assert size <= MAX_BATCH_BYTES


def test_records_that_count_in_the_same_rows_fill_whole_transactions():
    changes, unwritable = prepare([document_of(f"r{number}") for number in range(250)])
    assert not unwritable
    assert [len(batch) for batch in split(changes)] == [84, 84, 82]


def test_records_of_the_same_caller_stand_together_however_they_came():
    documents = [document_of(f"r{number}", user=f"u{number % 5}") for number in range(100)]
    changes, _ = prepare(documents)
    assert len(split(changes)) == 2


def test_a_record_that_touches_more_rows_than_a_transaction_holds_is_set_apart():
    accounts = tuple(f"usd:org/a{number}:month:UTC:2026-11" for number in range(90))
    changes, unwritable = prepare([document_of(accounts=accounts), document_of("r2")])
    assert [each.request_id for each in changes] == ["r2"]
    assert "a transaction holds 100 actions" in unwritable[0].why


def test_only_one_item_of_an_id_is_prepared():
    writable, unwritable = prepare([document_of(rank=1), document_of(rank=3), document_of(rank=2)])
    assert not unwritable
    assert [entry.document["rank"] for entry in writable] == [3]


def test_what_cannot_be_an_item_is_set_apart_and_hides_nothing_of_the_same_id():
    broken = {**document_of(rank=3), "time": "yesterday"}
    large = document_of("large", error="x" * MAX_ITEM_BYTES)
    writable, unwritable = prepare([broken, document_of(rank=1), large])
    assert [entry.document["request_id"] for entry in writable] == ["req-1"]
    assert [entry.document for entry in unwritable] == [broken, large]
    assert "time" in unwritable[0].why
    assert str(MAX_ITEM_BYTES) in unwritable[1].why


@given(st.integers(min_value=0, max_value=10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_stays_between_nothing_and_its_cap(attempt, chance):
    assert 0 <= full_jitter_s(attempt, base_s=0.05, cap_s=2.0, chance=chance) <= 2.0


@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.05), (1, 0.1), (3, 0.4), (9, 2.0)])
def test_the_longest_wait_doubles_up_to_the_cap(attempt, longest):
    assert full_jitter_s(attempt, base_s=0.05, cap_s=2.0, chance=1.0) == pytest.approx(longest)
