from __future__ import annotations

from dataclasses import replace

from gateway.domain.attribution import (
    Attribution,
    attributed_application,
    attributed_user,
    call_scopes,
)
from tests.fakes.calls import ADA, HAIKU

SHOP = replace(ADA, user=None, application="shop")


def paths(caller, attribution=None, model=HAIKU):
    return [scope.path for scope in call_scopes(caller, attribution or Attribution(), model)]


def test_a_call_is_accounted_on_its_path_and_in_every_branch_of_its_org():
    said = Attribution(feature="summary", agent="a1", agent_type="coder", task="t", category="c")
    assert paths(ADA, said) == [
        "platform",
        "org/acme",
        "org/acme/team/web",
        "org/acme/team/web/user/ada",
        "org/acme/feature/summary",
        "org/acme/agent/a1",
        "org/acme/agent-type/coder",
        "org/acme/task/t",
        "org/acme/category/c",
        "org/acme/model/anthropic.claude-3-haiku-20240307-v1+0",
    ]


def test_what_nobody_said_is_an_account_too():
    assert {path for path in paths(ADA) if path.endswith("/unattributed")} == {
        f"org/acme/{kind}/unattributed"
        for kind in ("feature", "agent", "agent-type", "task", "category")
    }


def test_an_end_user_is_accounted_as_the_user_of_the_team():
    said = Attribution(end_user="grace")
    assert attributed_user(SHOP, said) == "grace"
    assert "org/acme/team/web/user/grace" in paths(SHOP, said)
    assert "org/acme/application/shop" in paths(SHOP, said)
    assert "org/acme/team/web/user/ada" not in paths(ADA, said)


def test_an_application_that_the_key_binds_cannot_be_renamed():
    said = Attribution(application="other")
    assert attributed_application(SHOP, said) == "shop"
    assert attributed_application(ADA, said) == "other"
    assert "org/acme/application/other" in paths(ADA, said)


def test_without_a_model_there_is_no_account_of_one():
    assert not any("/model/" in path for path in paths(ADA, model=None))
