"""Names and patterns of a policy file."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.domain.call import Operation
from gateway.policy.name_types import (
    Contact,
    ModelPattern,
    OperationName,
    OrgName,
    RegionName,
    RuleScope,
    operation_name,
)


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-4", "us-gov-west-1"])
def test_regions_are_read(region):
    assert read(RegionName, region) == region


@pytest.mark.parametrize("value", ["us", "us-east", "US-EAST-1", "*", 1, ""])
def test_what_is_no_region_is_refused(value):
    with pytest.raises(ValidationError, match="expected a region such as eu-central-1"):
        read(RegionName, value)


@pytest.mark.parametrize("value", ["ops", "ops@", "@example.com", "a b@example.com", "a@b", 1])
def test_a_contact_is_a_mail_address(value):
    with pytest.raises(ValidationError, match="expected a mail address"):
        read(Contact, value)


@pytest.mark.parametrize("value", ["Converse", "", 1, None, [], "x" * 10_000])
def test_an_unknown_operation_names_the_nearest(value):
    with pytest.raises(ValidationError, match="unknown operation"):
        read(OperationName, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (OrgName, "acme"),
        (OrgName, "*"),
        (ModelPattern, "anthropic.claude-*"),
        (RuleScope, "team/web/user/ada"),
        (OperationName, "converse_stream"),
        (RegionName, "eu-central-1"),
    ],
)
def test_what_is_read_is_what_editors_let_pass(kind, value):
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    if "pattern" in schema:
        assert re.search(schema["pattern"], value)
    assert adapter.dump_python(read(kind, value), mode="json") == value


def test_operations_have_different_names():
    assert len({operation_name(operation) for operation in Operation}) == len(Operation)
