"""What editors are told of policy files is what the gateway reads."""

from __future__ import annotations

import json
import re

import pytest

from gateway.policy.document import PolicyDocument
from gateway.policy.schema import DIALECT, json_schema
from tests.fakes.broken_edits import POLICIES


def test_the_schema_that_ships_is_current():
    shipped = (POLICIES / "schema.json").read_text()
    assert json.loads(shipped) == json_schema(), (
        "run: bedrock-gateway policy schema --output policies/schema.json"
    )


def test_it_is_of_the_dialect_that_it_states():
    assert json_schema()["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert set(json_schema()["properties"]) == set(PolicyDocument.model_fields)
    assert json_schema()["required"] == ["version", "org"]


def parts(schema):
    """Every part of the schema, at any depth."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


def test_every_key_is_explained_and_no_other_is_known():
    for part in parts(json_schema()):
        if part.get("type") == "object" and "properties" in part:
            assert part["additionalProperties"] is False, part["title"]
            unexplained = [
                key
                for key, value in part["properties"].items()
                if "description" not in value and "$ref" not in value
            ]
            assert unexplained == []


def test_nothing_may_be_null_and_every_pattern_is_one():
    for part in parts(json_schema()):
        assert part.get("type") != "null"
        if isinstance(part.get("pattern"), str):
            re.compile(part["pattern"])


@pytest.mark.parametrize("path", sorted((POLICIES / "examples").glob("*.yaml")), ids=str)
def test_the_examples_tell_editors_where_it_is(path):
    if ".cases" not in path.name:
        assert path.read_text().startswith("# yaml-language-server: $schema=../schema.json\n")
