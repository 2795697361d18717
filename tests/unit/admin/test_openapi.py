from __future__ import annotations

from dataclasses import fields

from gateway.admin.openapi import openapi_document
from gateway.admin.server import make_admin_app, route_table
from gateway.domain.record import UsageRecord
from tests.fakes.admin import services


async def test_the_description_is_served_to_everyone(aiohttp_client):
    client = await aiohttp_client(make_admin_app(services()))
    document = await (await client.get("/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/usage/records/{request_id}" in document["paths"]


def test_every_route_of_the_table_is_described_with_its_role():
    public, routes = route_table(services())
    document = openapi_document(public, routes)
    assert set(document["paths"]) == {route.path for route in (*public, *routes)}
    for route in routes:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["x-required-role"] == route.role.value
        assert "security" not in operation
    for route in public:
        assert document["paths"][route.path]["get"]["security"] == []


def test_parameters_of_a_path_are_described():
    document = openapi_document(*route_table(services()))
    operation = document["paths"]["/v1/usage/records/{request_id}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["request_id"]


def test_a_record_is_described_field_by_field():
    schema = openapi_document((), ())["components"]["schemas"]["UsageRecord"]
    assert set(schema["properties"]) == {field.name for field in fields(UsageRecord)}
    assert schema["properties"]["cost_usd"] == {"type": ["string"]}
    assert schema["properties"]["input_tokens"] == {"type": ["integer", "null"]}
