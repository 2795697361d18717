"""Whose calls a rule counts, by how its scope is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.scope import Scope, ScopeKind
from gateway.policy.scope_selector import ScopeSelector, ScopeText

ADA = {
    scope.kind: scope
    for scope in map(
        Scope.parse,
        (
            "platform",
            "org/acme",
            "org/acme/team/web",
            "org/acme/team/web/user/ada",
            "org/acme/feature/summary",
            "org/acme/model/anthropic.claude-3-haiku-20240307-v1+0",
        ),
    )
}


def matched(text, org="acme"):
    scope = ScopeSelector.of(ScopeText.parse(text), org).match(ADA)
    return None if scope is None else scope.path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("org", "org/acme"),
        ("org/acme", "org/acme"),
        ("team", "org/acme/team/web"),
        ("user", "org/acme/team/web/user/ada"),
        ("org/acme/user", "org/acme/team/web/user/ada"),
        ("team/web", "org/acme/team/web"),
        ("org/acme/team/web", "org/acme/team/web"),
        ("team/web/user", "org/acme/team/web/user/ada"),
        ("team/web/user/ada", "org/acme/team/web/user/ada"),
        ("feature/summary", "org/acme/feature/summary"),
        ("model/anthropic.claude-3-haiku-20240307-v1:0", ADA[ScopeKind.MODEL].path),
        ("team/we", None),
        ("team/web/user/ad", None),
        ("team/we/user", None),
        ("application", None),
        ("feature/other", None),
    ],
)
def test_a_scope_is_a_kind_or_one_place(text, path):
    assert matched(text) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("platform", "platform"),
        ("org", "org/acme"),
        ("user", "org/acme/team/web/user/ada"),
        ("org/acme/user", "org/acme/team/web/user/ada"),
        ("org/acme", "org/acme"),
        ("org/other", None),
        ("org/other/user", None),
    ],
)
def test_the_file_of_everyone_writes_places_with_their_org(text, path):
    assert matched(text, org=None) == path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("teams", "did you mean 'team'?"),
        ("team/web/usr/ada", "did you mean 'user'?"),
        ("user/ada", "write team/NAME/user/ada"),
        ("org/acme/user/ada", "write org/acme/team/NAME/user/ada"),
        ("model/us.anthropic.claude-opus-5", "leave out 'us.'"),
        ("team/web/feature/x", "expected KIND, KIND/NAME"),
        ("feature/x/user", "expected KIND, KIND/NAME"),
        ("platform/x", "stands at the top"),
        ("task/x/org/y", "stands at the top"),
        ("team/a b", "expected the name of a team"),
        ("application/", "expected the name of an application"),
        ("org/", "expected the name of an org"),
        ("", "expected a scope, one of platform"),
        (7, "expected a scope, one of platform"),
        (None, "expected a scope, one of platform"),
        ("x" * 1000, "unknown kind of scope"),
    ],
)
def test_a_scope_that_there_is_not_says_what_was_expected(text, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        ScopeText.parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "org", "says"),
    [
        ("platform", "acme", "in the file of org '*' only"),
        ("org/other/team/web", "acme", "this file binds org 'acme'"),
        ("team/web", None, "'org/NAME/team/web'"),
        ("team/web/user", None, "'org/NAME/team/web/user'"),
    ],
)
def test_a_file_has_no_scopes_of_others(text, org, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        ScopeSelector.of(ScopeText.parse(text), org)


def test_the_more_names_are_fixed_the_more_specific_it_is():
    texts = ["user", "team/web/user", "team/web/user/ada"]
    depths = [ScopeSelector.of(ScopeText.parse(text), "acme").depth for text in texts]
    assert depths == sorted(set(depths))
    assert ScopeSelector.of(ScopeText.parse("user"), None).depth < depths[0]


@given(st.text(max_size=40))
def test_any_text_is_a_scope_or_an_error(text):
    try:
        scope = ScopeText.parse(text)
    except ValueError:
        return
    assert re.fullmatch(ScopeText.PATTERN, text), "editors would refuse it"
    assert str(scope) == text
