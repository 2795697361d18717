"""One edition of all rules: what makes it equal to another, and how it is stored."""

from __future__ import annotations

import zlib
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.bundle import (
    UnreadableBundleError,
    compile_bundle,
    decode_bundle,
    digest_of_files,
    encode_bundle,
    seen_of,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.reservation import Seen, SeenKind
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from tests.fakes.clock import NOON
from tests.fakes.rules import bundle, folder_of

BUDGET = ManagedBudget(
    id="b1", org="acme", name="by api", scope="org", period="month", limit_usd="12.5"
)
OVERRIDE = Override(
    id="o1",
    org="acme",
    scope="org/acme/team/web",
    limit="month",
    limit_usd="5000",
    by="ada",
    why="launch day",
    until=NOON + timedelta(hours=2),
)
MANAGED = ManagedRules(budgets=(BUDGET,), overrides=(OVERRIDE,))

names = st.text(min_size=1, max_size=20).filter(str.strip)


@given(st.dictionaries(names, st.text(max_size=200), max_size=4), st.integers(0, 2**52))
def test_a_bundle_is_read_back_as_it_was_stored(files, edition):
    before = bundle(files, managed=MANAGED, lineage=("a", "b"))
    after = decode_bundle(edition, encode_bundle(before))
    assert (after.files, after.managed, after.edition) == (files, MANAGED, edition)
    assert (after.lineage, after.why, after.published_at) == (("a", "b"), before.why, NOON)
    assert after.digest == before.digest


@given(st.binary(max_size=60))
def test_what_is_no_bundle_is_said_to_be_unreadable(content):
    with pytest.raises(UnreadableBundleError):
        decode_bundle(1, content)


@pytest.mark.parametrize("cut", [1, 10, 50])
def test_a_bundle_that_was_cut_off_is_unreadable(cut):
    with pytest.raises(UnreadableBundleError):
        decode_bundle(1, encode_bundle(bundle())[:-cut])


def test_a_bundle_that_would_fill_the_memory_is_unreadable(monkeypatch):
    monkeypatch.setattr("gateway.control.bundle.MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(UnreadableBundleError):
        decode_bundle(1, encode_bundle(bundle({"acme.yaml": "x" * 2000})))


def test_a_bundle_of_another_form_is_left_to_the_release_that_made_it():
    content = zlib.compress(orjson.dumps({"format": 2}))
    with pytest.raises(UnreadableBundleError, match="another release"):
        decode_bundle(1, content)


def test_equal_files_and_rules_have_equal_digests_whenever_they_were_published():
    one, two = bundle(), bundle(published_at=NOON + timedelta(days=1), why="again", edition=7)
    assert one.digest == two.digest
    assert one.digest != bundle(managed=MANAGED).digest
    assert one.folder_digest == bundle(managed=MANAGED).folder_digest
    assert one.folder_digest != bundle(folder_of("acme", usd=101)).folder_digest


def test_a_text_that_moves_from_one_file_to_another_is_another_folder():
    assert digest_of_files({"a": "bc", "d": ""}) != digest_of_files({"a": "b", "d": "c"})
    assert digest_of_files({"a": "x", "b": "y"}) == digest_of_files({"b": "y", "a": "x"})


def test_compiled_rules_carry_their_edition_and_what_was_made_by_api():
    policies = compile_bundle(bundle(edition=1_795_313_107_123, managed=MANAGED))
    assert policies.version == "1795313107123"
    assert policies.managed == MANAGED
    assert set(policies.orgs) == {"acme"}


def test_rules_that_are_not_valid_are_not_compiled():
    with pytest.raises(DocumentError, match=r"acme\.yaml:1:1"):
        compile_bundle(bundle({"acme.yaml": "org: acme\n"}))


def test_plans_carry_one_edition_for_all_rules():
    assert seen_of(7) == Seen(kind=SeenKind.POLICY, name="rules", version=7)
