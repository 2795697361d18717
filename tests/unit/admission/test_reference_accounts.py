from __future__ import annotations

from gateway.admission.choose import Balance
from gateway.admission.reference_accounts import ReferenceAccounts, Taken
from tests.fakes.ledgers import MIDNIGHT_MS, budget, lease, rate


def taken(claim, key, amount):
    return Taken(key=key, claim=claim, amount=amount)


def test_each_kind_of_account_takes_its_claim():
    accounts = ReferenceAccounts()
    claims = (taken(budget(4, 9), "b", 4), taken(rate(2, 9), "r", 2), taken(lease(1), "l", 1))
    accounts.take(claims, "a", MIDNIGHT_MS, MIDNIGHT_MS + 5)
    assert accounts.balances == {"b": Balance(pending=4)}
    assert accounts.buckets["r"].backlog == 2 * 60_000
    assert accounts.leases == {"l": {"a": MIDNIGHT_MS + 5}}


def test_a_place_that_ran_out_is_gone_with_the_next_claim_and_never_extended():
    accounts = ReferenceAccounts()
    place = (taken(lease(1), "l", 1),)
    accounts.take(place, "a", 0, 5)
    accounts.extend_leases(place, "a", 5, 50)
    assert accounts.leases["l"] == {"a": 5}
    accounts.take(place, "b", 5, 9)
    assert accounts.leases["l"] == {"b": 9}


def test_what_the_books_have_already_is_not_charged_again():
    accounts = ReferenceAccounts(balances={"b": Balance(posted=7)}, as_of={"b": 3})
    claims = (taken(budget(4, 9), "b", 4), taken(budget(4, 9), "c", 4))
    accounts.charge_unheld(claims, 5, position=3)
    assert accounts.balances == {"b": Balance(posted=7), "c": Balance(posted=5, overrun=1)}
