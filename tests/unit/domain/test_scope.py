"""Scopes: paths in a tree that are safe as parts of ledger keys."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.scope import Scope, ScopeKind, is_scope_name, model_scope_name

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._@+-]{0,62}[A-Za-z0-9_+-])?", fullmatch=True)
BRANCHES = st.sampled_from([k for k in ScopeKind if k not in (ScopeKind.PLATFORM, ScopeKind.ORG)])


@given(NAMES, st.lists(st.tuples(BRANCHES, NAMES), max_size=5))
def test_a_scope_is_what_its_path_says(org, branches):
    scope = Scope.org(org)
    for kind, name in branches:
        scope = scope.child(kind, name)
    assert Scope.parse(scope.path) == scope
    assert scope.kind is (branches[-1][0] if branches else ScopeKind.ORG)


@given(st.text(max_size=80))
def test_no_name_holds_a_character_that_means_something_elsewhere(name):
    allowed = set(string.ascii_letters + string.digits + "._@+-")
    if is_scope_name(name):
        assert set(name) <= allowed
        assert 1 <= len(name) <= 64
    else:
        with pytest.raises(ValueError, match="a scope name is"):
            Scope.org(name)


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a/b", "..", ".", "-x", "a:b", "{a}", "a\n", "a\x00", "*", "ä", "\uff11",
        "x" * 65, "a\r\nSET", "web.",
    ],
)  # fmt: skip
def test_hostile_names_are_no_scope_names(name):
    assert not is_scope_name(name)
    with pytest.raises(ValueError, match="a scope name is"):
        Scope.org("acme").child(ScopeKind.TEAM, name)


def test_ordinary_names_are_scope_names():
    for name in ("a", "acme", "Ada.Lovelace@example.com", "team-1", "x" * 64, "7", "a+b", "a_"):
        assert is_scope_name(name)


def test_the_platform_is_the_root():
    assert Scope.parse("platform") == Scope.platform()
    assert Scope.platform().kind is ScopeKind.PLATFORM


@pytest.mark.parametrize(
    "path",
    ["", "org", "org/", "team/web", "org/acme/team", "org/acme/nonsense/x", "org/acme//x",
     "platform/org/acme", "org/acme/org/other", "org/acme/platform/x", "ORG/acme"],
)  # fmt: skip
def test_what_is_no_path_of_the_tree_is_refused(path):
    with pytest.raises(ValueError, match=r"scope|place"):
        Scope.parse(path)


@pytest.mark.parametrize(
    ("base_id", "name"),
    [
        ("anthropic.claude-opus-5", "anthropic.claude-opus-5"),
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1+0"),
    ],
)
def test_a_model_is_accounted_under_its_base_id(base_id, name):
    assert model_scope_name(base_id) == name


@given(st.text(min_size=1, max_size=200))
def test_any_model_id_has_a_name_and_the_name_is_its_own_name(base_id):
    name = model_scope_name(base_id)
    assert is_scope_name(name)
    assert model_scope_name(name) == name


def test_long_ids_that_differ_at_their_end_are_different_accounts():
    arn = "arn:aws:bedrock:us-east-1:111111111111:provisioned-model/" + "a" * 20
    assert model_scope_name(arn) != model_scope_name(arn + "b")
