from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.control.keys import SETTABLE
from gateway.domain.attribution import Attribution
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.attribute import attribute
from tests.fakes.calls import ADA, authenticated_call

MAY_ALL = replace(ADA, may_set=SETTABLE)
ACTS = replace(MAY_ALL, user=None, application="shop", may_act_for_others=True)


def said(headers=None, metadata=None, caller=MAY_ALL, signed=None):
    call = authenticated_call(caller, headers=tuple((headers or {}).items()))
    return attribute(replace(call, signed_headers=signed), metadata or {})


def refusal(*arguments, **more):
    with pytest.raises(GatewayError) as caught:
        said(*arguments, **more)
    return caught.value


ATTRIBUTES = {
    "feature": "feature",
    "agent": "agent",
    "agent-type": "agent_type",
    "task": "task",
    "operation": "operation",
    "category": "category",
    "environment": "environment",
    "application": "application",
}


@pytest.mark.parametrize(("name", "field"), ATTRIBUTES.items())
def test_each_attribute_is_taken_from_its_header_whatever_its_case(name, field):
    assert said({f"X-Gateway-{name.title()}": " v1 "}) == Attribution(**{field: "v1"})


@pytest.mark.parametrize(("name", "field"), ATTRIBUTES.items())
@pytest.mark.parametrize("prefix", ["", "x-gateway-"])
def test_each_attribute_is_taken_from_the_request_metadata(name, field, prefix):
    assert said(metadata={prefix + name: "v1"}) == Attribution(**{field: "v1"})


def test_a_header_wins_over_metadata_and_the_prefix_over_a_plain_key():
    metadata = {"x-gateway-feature": "prefixed", "feature": "plain"}
    assert said({"x-gateway-feature": "header"}, metadata).feature == "header"
    assert said(metadata=metadata).feature == "prefixed"


def test_a_call_that_says_nothing_has_no_attributes():
    assert said() == Attribution()
    assert said({"x-gateway-feature": "  "}) == Attribution()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_the_key_may_not_set_is_left_out(name):
    nothing = replace(MAY_ALL, may_set=SETTABLE - {name})
    headers = {f"x-gateway-{name}": "v1"}
    assert said(headers, {name: "v2"}, caller=nothing) == Attribution()


def test_a_header_that_the_signer_did_not_sign_is_left_out():
    headers = {"x-gateway-feature": "summary", "x-gateway-task": "t"}
    found = said(headers, signed=frozenset({"host", "x-gateway-task"}))
    assert found == Attribution(task="t")


@pytest.mark.parametrize("value", ["a b", "../x", "a/b", "x" * 65, ".hidden", "{tag}", "ü"])
@pytest.mark.parametrize("where", ["header", "metadata"])
def test_a_value_that_cannot_be_a_name_is_an_error_that_says_where(value, where):
    stated = {"x-gateway-feature": value}
    error = refusal(stated) if where == "header" else refusal(metadata=stated)
    assert error.reason is Reason.MALFORMED_HEADER
    assert "x-gateway-feature" in error.detail


def test_a_tag_of_the_applications_own_need_not_be_a_name():
    assert said(metadata={"feature": "our own free text"}) == Attribution()


def test_a_header_that_comes_twice_is_an_error():
    call = authenticated_call(
        MAY_ALL, headers=(("x-gateway-feature", "a"), ("X-Gateway-Feature", "b"))
    )
    with pytest.raises(GatewayError) as caught:
        attribute(call, {})
    assert caught.value.reason is Reason.MALFORMED_HEADER


def test_a_key_that_acts_for_others_names_the_end_user():
    assert said({"x-gateway-end-user": "grace"}, caller=ACTS).end_user == "grace"
    assert said(metadata={"x-gateway-end-user": "grace"}, caller=ACTS).end_user == "grace"


def test_any_other_key_that_names_an_end_user_is_refused_unless_it_is_its_own():
    error = refusal({"x-gateway-end-user": "grace"})
    assert error.reason is Reason.END_USER_NOT_ALLOWED
    assert "grace" not in error.detail
    assert said({"x-gateway-end-user": "ada"}) == Attribution()


def test_a_plain_metadata_key_never_names_an_end_user():
    assert said(metadata={"end-user": "grace"}) == Attribution()
