from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.batch import (
    MAX_ACTIONS,
    MAX_BATCH_BYTES,
    MAX_ITEM_BYTES,
    Writable,
    full_jitter_s,
    highest_ranks,
    prepare,
    split,
)
from tests.fakes.records import document_of

ranked = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(min_value=1, max_value=3)), max_size=30
)


def small(request_id, rank=1):
    return {"request_id": request_id, "rank": rank}


@given(ranked, st.randoms(use_true_random=False))
def test_the_highest_rank_of_an_id_wins_whatever_the_order_and_the_repeats(entries, random):
    documents = [small(*entry) for entry in entries]
    shuffled = [*documents, *documents]
    random.shuffle(shuffled)
    expected = {name: max(r for n, r in entries if n == name) for name, _ in entries}
    assert {d["request_id"]: d["rank"] for d in highest_ranks(shuffled)} == expected
    assert len(highest_ranks(shuffled)) == len(expected)


@given(st.lists(st.integers(min_value=1, max_value=MAX_ITEM_BYTES), max_size=400))
def test_batches_keep_order_and_bounds_and_lose_nothing(sizes):
    entries = [Writable(document={}, item={}, size_bytes=size) for size in sizes]
    batches = split(entries)
    assert [entry for batch in batches for entry in batch] == entries
    for batch in batches:
        assert 1 <= len(batch) <= MAX_ACTIONS
        assert sum(entry.size_bytes for entry in batch) <= MAX_BATCH_BYTES


def test_small_items_fill_whole_transactions():
    writable, unwritable = prepare([document_of(f"r{number}") for number in range(250)])
    assert not unwritable
    assert [len(batch) for batch in split(writable)] == [100, 100, 50]


def test_only_one_item_of_an_id_is_prepared():
    writable, unwritable = prepare([document_of(rank=1), document_of(rank=3), document_of(rank=2)])
    assert not unwritable
    assert [entry.rank for entry in writable] == [3]


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
