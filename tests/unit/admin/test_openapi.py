from __future__ import annotations

import re
from dataclasses import fields

import pytest

from gateway.admin.openapi import openapi_document
from gateway.admin.server import make_admin_app, route_table
from gateway.domain.record import UsageRecord
from tests.fakes.admin import services

DOCUMENT = openapi_document(*route_table(services()))


async def test_the_description_is_served_to_everyone(aiohttp_client):
    client = await aiohttp_client(make_admin_app(services()))
    document = await (await client.get("/v1/openapi.json")).json()
    assert document == DOCUMENT
    assert document["openapi"].startswith("3.1")
    assert "/v1/openapi.json" in document["paths"]


def test_every_route_of_the_table_is_described_with_its_role():
    public, routes = route_table(services())
    assert set(DOCUMENT["paths"]) == {route.path for route in (*public, *routes)}
    for route in routes:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert operation["x-required-role"] == route.role.value
        assert operation["x-scope"] == route.about.value
        assert "security" not in operation
    for route in public:
        assert DOCUMENT["paths"][route.path]["get"]["security"] == []


def operations():
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield pytest.param(path, operation, id=f"{method} {path}")


@pytest.mark.parametrize(("path", "operation"), list(operations()))
def test_an_operation_is_described_whole(path, operation):
    named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))
    assert operation["summary"].endswith(".")
    assert any(status.startswith("2") for status in operation["responses"])
    if operation.get("security") != []:
        assert {"401", "403", "429"} <= set(operation["responses"])
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= set(operation["responses"])


def test_names_of_operations_are_unique():
    names = [operation.values[1]["operationId"] for operation in operations()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere():
    text = str(DOCUMENT)
    for name in re.findall(r"#/components/schemas/([\w-]+)", text):
        assert name in DOCUMENT["components"]["schemas"]
    assert "$defs" not in text


def test_what_a_route_takes_is_described_as_its_model_checks_it():
    order = DOCUMENT["components"]["schemas"]["KeyOrder"]
    assert order["additionalProperties"] is False
    assert "admin" in order["properties"]["role"]["enum"]
    query = DOCUMENT["paths"]["/v1/usage/records"]["get"]["parameters"]
    by_name = {parameter["name"]: parameter for parameter in query}
    assert by_name["limit"]["schema"]["maximum"] == 200
    assert {"from", "to", "org", "model", "status", "cursor"} <= set(by_name)
    assert by_name["status"]["schema"]["enum"][0] == "ok"


def test_conditions_and_repeats_are_described_where_they_count():
    def headers(method, path):
        parameters = DOCUMENT["paths"][path][method]["parameters"]
        return {p["name"] for p in parameters if p["in"] == "header"}

    assert headers("post", "/v1/keys") == {"Idempotency-Key"}
    assert headers("put", "/v1/budgets/{budget_id}") == {"If-Match"}
    assert headers("get", "/v1/budgets/{budget_id}") == {"If-None-Match"}
    assert headers("post", "/v1/emergency/stop") == set()


def test_a_record_is_described_field_by_field():
    schema = DOCUMENT["components"]["schemas"]["UsageRecordDocument"]
    assert set(schema["properties"]) == {field.name for field in fields(UsageRecord)}
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["cost_usd"]["type"] == "string"
    assert {"type": "null"} in schema["properties"]["input_tokens"]["anyOf"]
