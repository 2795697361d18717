from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.account_row import AccountWindow
from gateway.journal.change import Change, differences, latest_versions
from tests.fakes.books import expected_books
from tests.fakes.records import document_of

MONTH = "usd:org/acme:month:UTC:2026-11"
DAY = "usd:org/acme/team/web:rolling-day:Europe/Berlin:2026-11-21"

documents = st.builds(
    document_of,
    st.sampled_from("abc"),
    rank=st.integers(1, 3),
    cost_nano_usd=st.integers(0, 3),
    settled_at=st.just(None),
    user=st.sampled_from(["ada", "bob"]),
    time=st.sampled_from(["2026-11-21T10:00:00Z", "2026-11-21T23:59:59.999Z"]),
    accounts=st.sampled_from([(), (MONTH,), (MONTH, DAY)]),
)


def unambiguous(delivered):
    """Of one version of a call there is one record only, as in the ledger's journal."""
    known = {}
    for document in delivered:
        change = Change.of(document)
        known.setdefault((change.request_id, change.version), document)
    return list(known.values())


def applied(delivered):
    """The books after writing one record after the other, each by its difference."""
    stored, sums = {}, {}
    for document in delivered:
        change = Change.of(document).replacing(stored.get(document["request_id"]))
        if change is None:
            continue
        stored[document["request_id"]] = document
        for row, amounts in differences([change]).items():
            into = sums.setdefault(row, {})
            for name, amount in amounts.items():
                into[name] = into.get(name, 0) + amount
    return stored, sums


def tidy(sums):
    rollups, accounts = {}, {}
    for row, amounts in sums.items():
        left = {name: amount for name, amount in amounts.items() if amount}
        if left and isinstance(row, AccountWindow):
            accounts[row.key] = left
        elif left:
            rollups[row.set.key, row.value] = left
    return rollups, accounts


@given(st.lists(documents, max_size=12), st.randoms(use_true_random=False))
def test_differences_lead_to_the_same_sums_whatever_the_order_and_the_repeats(delivered, random):
    delivered = unambiguous(delivered)
    expected = expected_books(delivered)
    again = delivered + random.choices(delivered, k=5) if delivered else []
    random.shuffle(again)
    stored, sums = applied(again)
    assert stored == expected["records"]
    assert tidy(sums) == (expected["rollups"], expected["accounts"])


@given(st.lists(documents, max_size=12))
def test_many_changes_at_once_are_the_sum_of_each(delivered):
    changes = latest_versions([Change.of(document) for document in unambiguous(delivered)])
    expected = expected_books(delivered)
    assert tidy(differences(changes)) == (expected["rollups"], expected["accounts"])


def test_a_better_charge_then_a_larger_one_then_a_later_one_takes_the_place():
    ladder = [
        document_of(rank=1, cost_nano_usd=9, settled_at=None),
        document_of(rank=1, cost_nano_usd=9, settled_at="2026-11-21T10:00:01.000Z"),
        document_of(rank=1, cost_nano_usd=10, settled_at=None),
        document_of(rank=2, cost_nano_usd=2),
        document_of(rank=2, cost_nano_usd=10),
        document_of(rank=3, cost_nano_usd=0),
    ]
    for worse, better in itertools.combinations(ladder, 2):
        assert Change.of(worse).replacing(better) is None
        assert Change.of(better).replacing(worse).before.version == Change.of(worse).version
    assert Change.of(ladder[0]).replacing(ladder[0]) is None


def test_a_correction_moves_the_charge_to_where_it_belongs_and_leaves_no_call_behind():
    draft = document_of(rank=1, cost_nano_usd=100, accounts=(MONTH,), model_requested="a")
    final = document_of(rank=2, cost_nano_usd=40, accounts=(MONTH,), model_served="b")
    sums = differences([Change.of(final).replacing(draft)])
    assert sums[next(row for row in sums if isinstance(row, AccountWindow))] == {"posted": -60}
    by_value = {row.value: amounts for row, amounts in sums.items() if hasattr(row, "value")}
    assert by_value["b"]["calls"] == 1
    assert by_value["b"]["nano_usd"] == 40
    assert by_value[draft["model_served"]]["calls"] == -1
    assert by_value["acme"] == {"nano_usd": -60}


def test_a_record_that_is_gone_is_no_obstacle():
    change = Change.of(document_of())
    assert change.replacing(None) == change
