"""How rules change: whom a change would hit, who confirms it, and how it is put in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.bundle import LINEAGE, PublishVerdict, digest_of_files, seen_of
from gateway.control.publish import (
    Change,
    Publisher,
    add_override,
    delete_budget,
    propose,
    put_budget,
    remove_override,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from tests.fakes.clock import NOON
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of, policy

ORGS = ("a", "b", "c", "d")


def change(files=None, managed=None, **stated):
    return Change(files=files, managed=managed, by="ada", why="a change", at=NOON, **stated)


def hit(before, after):
    current = bundle(before, edition=5)
    return propose(current, change(after))


def budget(number=1, org="acme", **stated):
    values = {"name": f"api {number}", "scope": "org", "period": "month", "limit_usd": "10"}
    return ManagedBudget(id=f"b{number}", org=org, **(values | stated))


def override(number=1, org="acme", hours=1):
    return Override(
        id=f"o{number}", org=org, scope=f"org/{org}", limit="month", limit_usd="9", by="ada",
        why="launch", until=NOON + timedelta(hours=hours),
    )  # fmt: skip


def test_the_first_rules_hit_nobody_and_need_no_confirmation():
    proposal = propose(None, change(folder_of(*ORGS)))
    assert (proposal.expected, proposal.orgs, proposal.orgs_hit) == (0, (), ())
    assert proposal.is_change
    assert not proposal.needs_confirmation


@pytest.mark.parametrize(
    ("changed", "confirmed"), [(("a",), False), (("a", "b"), False), (("a", "b", "c"), True)]
)
def test_more_than_half_of_the_tenants_need_a_confirmation(changed, confirmed):
    after = folder_of(*ORGS) | folder_of(*changed, usd=1)
    proposal = hit(folder_of(*ORGS), after)
    assert proposal.orgs_hit == changed
    assert proposal.needs_confirmation is confirmed
    assert proposal.says == f"would hit {len(changed)} of 4 orgs: {', '.join(changed)}"


def test_one_tenant_alone_changes_its_rules_without_confirmation():
    proposal = hit(folder_of("a"), folder_of("a", usd=1))
    assert proposal.orgs_hit == ("a",)
    assert not proposal.needs_confirmation


def test_the_file_of_everyone_hits_all_tenants():
    proposal = hit(folder_of("*", *ORGS), folder_of("*", *ORGS) | folder_of("*", usd=1))
    assert proposal.orgs_hit == ORGS
    assert proposal.needs_confirmation


def test_tenants_that_lose_their_file_are_hit_and_new_ones_are_not():
    proposal = hit(folder_of(*ORGS), folder_of("d", "e", "f"))
    assert proposal.orgs_hit == ("a", "b", "c")
    assert proposal.orgs == ORGS


def test_comments_and_names_of_files_hit_nobody_but_are_a_change():
    commented = {"x.yaml": policy("a", note="# more\n"), "b.yaml": policy("b")}
    proposal = hit(folder_of("a", "b"), commented)
    assert proposal.orgs_hit == ()
    assert proposal.is_change


def test_the_same_rules_are_no_change():
    assert not hit(folder_of("a"), folder_of("a")).is_change


def test_many_tenants_are_counted_and_not_all_named():
    orgs = [f"org{number:02}" for number in range(12)]
    says = hit(folder_of(*orgs), folder_of(*orgs, usd=1)).says
    assert says == "would hit 12 of 12 orgs: org00, org01, org02, org03, org04 and 7 more"


def test_what_was_made_by_api_counts_as_the_tenants_rules():
    current = bundle(folder_of("a", "b", "c"), edition=5)
    managed = ManagedRules(budgets=(budget(1, "a"),), overrides=(override(1, "b"),))
    proposal = propose(current, change(managed=managed))
    assert proposal.bundle.files == current.files
    assert proposal.orgs_hit == ("a", "b")


def test_rules_that_are_not_valid_are_not_proposed():
    with pytest.raises(DocumentError, match=r"a\.yaml:1:1"):
        hit(folder_of("a"), {"a.yaml": "version: 1\n"})


def test_rules_in_force_that_this_release_does_not_understand_hold_nobody_up():
    proposal = hit({"a.yaml": "something: new\n"}, folder_of("a", "b"))
    assert (proposal.orgs, proposal.needs_confirmation) == ((), False)


@given(st.lists(st.integers(1, 120), min_size=1, max_size=130))
def test_an_edition_remembers_the_folders_before_it_each_once_and_newest_first(amounts):
    current, seen = None, []
    for amount in amounts:
        files = folder_of("a", usd=amount)
        if current is not None and files != current.files:
            seen = [d for d in (current.folder_digest, *seen) if d != digest_of_files(files)]
        current = replace(propose(current, change(files)).bundle, edition=1)
        assert list(current.lineage) == seen[:LINEAGE]
        assert current.folder_digest not in current.lineage


@pytest.fixture
def store():
    return MemoryBundleStore()


@pytest.fixture
def publisher(store):
    return Publisher(store, store.control)


async def test_a_published_proposal_is_known_to_store_and_shards(store, publisher):
    made = await publisher.publish(propose(None, change(folder_of("a"))))
    assert made.verdict is PublishVerdict.PUBLISHED
    assert made.edition == round(NOON.timestamp() * 1000)
    assert await store.control.publish(seen_of(0)) == made.edition


async def test_a_proposal_made_from_another_edition_is_not_published(store, publisher):
    await publisher.publish(propose(None, change(folder_of("a"))))
    late = propose(None, change(folder_of("b")))
    assert (await publisher.publish(late)).verdict is PublishVerdict.CONFLICT
    assert list((await store.current()).files) == ["a.yaml"]


async def managed_change(publisher, make, **stated):
    return await publisher.change_managed(make, by="ada", why="by api", at=NOON, **stated)


async def test_a_budget_made_by_api_is_in_force_beside_the_files(store, publisher):
    await publisher.publish(propose(None, change(folder_of("acme"))))
    made = await managed_change(publisher, lambda managed: put_budget(managed, budget()))
    current = await store.current()
    assert current.managed.budgets == (budget(),)
    assert (current.edition, current.published_by, current.why) == (made.edition, "ada", "by api")
    assert list(current.files) == ["acme.yaml"]


async def test_a_change_by_api_that_changes_nothing_publishes_nothing(store, publisher):
    await publisher.publish(propose(None, change(folder_of("acme"))))
    before = await store.edition()
    made = await managed_change(publisher, lambda managed: managed)
    assert made.edition == before == await store.edition()


async def test_changes_by_api_that_meet_are_both_in_force(store, publisher):
    await publisher.publish(propose(None, change(folder_of("acme"))))
    rival = Publisher(store, store.control)
    meets = [True]

    def put(managed):
        return put_budget(managed, budget(1))

    original = store.publish

    async def meet(*asked, **stated):
        if meets:
            meets.clear()
            await managed_change(rival, lambda managed: put_budget(managed, budget(2)))
        return await original(*asked, **stated)

    store.publish = meet
    await managed_change(publisher, put)
    assert [b.id for b in (await store.current()).managed.budgets] == ["b1", "b2"]


async def test_a_change_by_api_of_an_edition_that_is_gone_is_refused(store, publisher):
    first = await publisher.publish(propose(None, change(folder_of("acme"))))
    await managed_change(publisher, lambda managed: put_budget(managed, budget()))
    with pytest.raises(GatewayError) as refused:
        await managed_change(
            publisher, lambda managed: delete_budget(managed, "b1"), expected=first.edition
        )
    assert refused.value.reason is Reason.STALE_PLAN
    assert (await store.current()).managed.budgets


async def test_overrides_whose_time_is_over_leave_with_the_next_change(store, publisher):
    await managed_change(publisher, lambda managed: add_override(managed, override(1, hours=1)))
    await publisher.change_managed(
        lambda managed: add_override(managed, override(2, hours=5)),
        by="ada",
        why="later",
        at=NOON + timedelta(hours=2),
    )
    assert [o.id for o in (await store.current()).managed.overrides] == ["o2"]


async def test_a_budget_by_api_that_contradicts_the_files_is_refused(store, publisher):
    await publisher.publish(propose(None, change(folder_of("acme"))))
    with pytest.raises(DocumentError, match="api:b1"):
        await managed_change(
            publisher, lambda managed: put_budget(managed, budget(name="month", scope="team"))
        )
    assert not (await store.current()).managed.budgets


def test_a_budget_put_again_takes_the_place_of_the_one_before():
    managed = put_budget(put_budget(ManagedRules(), budget(1)), budget(2))
    managed = put_budget(managed, budget(1, limit_usd="77"))
    assert [(b.id, b.limit_usd) for b in managed.budgets] == [
        ("b1", 77 * 10**9),
        ("b2", 10 * 10**9),
    ]


def test_what_is_not_there_cannot_be_taken_away():
    with pytest.raises(KeyError):
        delete_budget(ManagedRules(), "b1")
    with pytest.raises(KeyError):
        remove_override(ManagedRules(), "o1")


def test_an_override_is_added_replaced_and_removed():
    managed = add_override(ManagedRules(), override(1))
    managed = add_override(managed, override(1, hours=3))
    assert [o.until for o in managed.overrides] == [NOON + timedelta(hours=3)]
    assert remove_override(managed, "o1") == ManagedRules()
