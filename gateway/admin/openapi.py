"""`/v1/openapi.json`: the admin API described by its own route table, so it cannot lag."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import orjson
from aiohttp import web

from gateway.admin.access import PublicRoute, Route
from gateway.domain.record import UsageRecord

_PARAMETER = re.compile(r"\{(\w+)\}")
_JSON_TYPES = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "Decimal": "string",
    "RequestId": "string",
    "KeyId": "string",
    "PolicyVersion": "string",
    "CallStatus": "string",
}
_PROBLEM = {
    "description": "A problem (RFC 9457).",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def openapi_route(public: Sequence[PublicRoute], routes: Sequence[Route]) -> PublicRoute:
    """The route that serves the description of all the others."""
    body = orjson.dumps(openapi_document(public, routes))

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return PublicRoute(
        path="/v1/openapi.json", summary="This description of the API.", handler=show
    )


def openapi_document(public: Sequence[PublicRoute], routes: Sequence[Route]) -> dict[str, Any]:
    """The description. Source: OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for open_route in public:
        paths.setdefault(open_route.path, {})["get"] = {
            **_operation(open_route.path, open_route.summary),
            "security": [],
        }
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = {
            **_operation(route.path, route.summary),
            "x-required-role": route.role.value,
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bedrock gateway: admin API", "version": "1"},
        "security": [{"gatewayKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"gatewayKey": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _problem_schema(), "UsageRecord": _record_schema()},
        },
    }


def _operation(path: str, summary: str) -> dict[str, Any]:
    is_record = path.startswith("/v1/usage/records/")
    schema = {"$ref": "#/components/schemas/UsageRecord"} if is_record else {"type": "object"}
    return {
        "summary": summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(path)
        ],
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "default": _PROBLEM,
        },
    }


def _problem_schema() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("type", "title", "detail", "instance")}
    return {"type": "object", "properties": {**texts, "status": {"type": "integer"}}}


def _record_schema() -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields(UsageRecord):
        names = [name.strip() for name in str(field.type).split("|")]
        kinds = ["null" if name == "None" else _JSON_TYPES.get(name) for name in names]
        known = [kind for kind in kinds if kind is not None]
        # Pairs and lists are told by their values; everything else has a plain type.
        properties[field.name] = {"type": known} if len(known) == len(names) else {}
    return {"type": "object", "properties": properties, "required": sorted(properties)}
