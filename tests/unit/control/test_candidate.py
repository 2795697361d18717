from __future__ import annotations

import pytest

from gateway.control.candidate import candidate_rules
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.managed import ManagedBudget, ManagedRules
from gateway.policy.parse import compile_rules
from tests.fakes.rules import folder_of, policy

IN_FORCE = folder_of("*", "acme", "globex")
MADE = ManagedBudget(
    id="b1", org="acme", name="api", scope="org", period="day", limit_usd="5"
)  # fmt: skip


def candidate(files, orgs):
    in_force = compile_rules(IN_FORCE, ManagedRules(budgets=(MADE,)))
    return candidate_rules(in_force, IN_FORCE, files, orgs)


def test_only_the_orgs_that_it_speaks_for_have_other_rules():
    rules = candidate({"acme.yaml": policy("acme", 5)}, ["acme"])
    limits = {org: document.budgets[0].limit_usd for org, document in rules.orgs.items()}
    assert limits == {"acme": 5 * 10**9, "globex": 100 * 10**9}
    assert rules.everyone is not None
    assert rules.managed.budgets == (MADE,)


def test_a_file_that_is_named_like_another_orgs_replaces_it_not():
    rules = candidate({"globex.yaml": policy("acme", 5)}, ["acme"])
    assert set(rules.orgs) == {"acme", "globex"}
    assert rules.files["acme"].marked.file == "globex.yaml"


def test_what_contradicts_the_rest_is_told():
    with pytest.raises(DocumentError, match="acme"):
        candidate({"a.yaml": policy("acme"), "b.yaml": policy("acme")}, ["acme"])
