"""`/v1/openapi.json`: the admin API described by its own routes and models, so it cannot lag.

The models that describe are those that validate, so what is described is what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.admin.repeats import HEADER as IDEMPOTENCY_KEY
from gateway.admin.route import About, PublicRoute, Route

_PARAMETER = re.compile(r"\{(\w+)\}")
_TEMPLATE = "#/components/schemas/{model}"
_TEXT = {"type": "string"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "A problem (RFC 9457). `errors` says field by field what is wrong.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": _TEXT, "parameter": _TEXT, "detail": _TEXT},
                "required": ["detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "instance"],
}
_WHEN: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read as it is.",
    HTTPStatus.UNAUTHORIZED: "No credential, or one that does not count.",
    HTTPStatus.FORBIDDEN: "The role or the reach of the credential does not do.",
    HTTPStatus.NOT_FOUND: "There is no such thing within your reach.",
    HTTPStatus.CONFLICT: "It contradicts what is, or what was asked before.",
    HTTPStatus.PRECONDITION_FAILED: "Somebody changed it meanwhile.",
    HTTPStatus.PRECONDITION_REQUIRED: "If-Match is missing.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body is not what this route takes; `errors` says where.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests to this route; Retry-After says when again.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Something this needs does not answer now.",
}

_Mode = Literal["validation", "serialization"]


def openapi_route(public: Sequence[PublicRoute], routes: Sequence[Route]) -> PublicRoute:
    """The route that serves the description of all the others."""
    path = "/v1/openapi.json"
    summary = "This description of the API."
    body = b""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    itself = PublicRoute(path=path, summary=summary, handler=show)
    body = orjson.dumps(openapi_document((*public, itself), routes))
    return itself


def openapi_document(public: Sequence[PublicRoute], routes: Sequence[Route]) -> dict[str, Any]:
    """The description. Source: OpenAPI 3.1."""
    taken = {model for route in routes for model in (route.body,) if model}
    shown = {route.answer for route in public} | {route.answer for route in routes}
    given = {model for model in shown if model is not None}
    by_model, schemas = models_json_schema(
        sorted(
            [(model, _mode("validation")) for model in taken]
            + [(model, _mode("serialization")) for model in given],
            key=lambda pair: (pair[0].__name__, pair[1]),
        ),
        ref_template=_TEMPLATE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for open_route in public:
        paths.setdefault(open_route.path, {})["get"] = _public_operation(open_route, by_model)
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bedrock gateway: admin API", "version": "1"},
        "security": [{"gatewayKey": []}, {"adminToken": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "gatewayKey": {"type": "http", "scheme": "bearer", "description": "A gateway key."},
                "adminToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM_SCHEMA},
        },
    }


def _mode(mode: _Mode) -> _Mode:
    return mode


def _public_operation(route: PublicRoute, by_model: Any) -> dict[str, Any]:
    kind = "object" if route.media_type == "application/json" else "string"
    schema = by_model[(route.answer, "serialization")] if route.answer else {"type": kind}
    statuses = [HTTPStatus.OK]
    if route.path.endswith("/ready"):
        statuses.append(HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        "operationId": _id("get", route.path),
        "summary": route.summary,
        "parameters": [],
        "responses": {
            str(int(status)): _answer(route.summary, schema, route.media_type)
            for status in statuses
        },
        "security": [],
    }


def _operation(route: Route, by_model: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _id(route.method, route.path),
        "summary": route.summary,
        "tags": [route.path.removeprefix("/v1").split("/")[1]],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_headers(route)],
        "responses": _responses(route, by_model),
        "x-required-role": route.role.value,
        "x-scope": route.about.value,
        "x-rate": {"per_minute": route.rate.per_minute, "burst": route.rate.burst},
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.takes_body_or_none,
            "content": {"application/json": {"schema": by_model[(route.body, "validation")]}},
        }
    return operation


def _responses(route: Route, by_model: Any) -> dict[str, Any]:
    answer = _json_answer(route.summary, by_model[(route.answer, "serialization")])
    if route.has_etag:
        answer["headers"] = {"ETag": {"schema": _TEXT, "description": "Its version."}}
    responses = {str(int(route.status)): answer}
    if route.has_etag and route.method == "GET":
        responses["304"] = {"description": "It is still the version you have."}
    for status in sorted({*_failures(route), *route.failures}):
        responses[str(int(status))] = _problem_answer(_WHEN[status])
    return responses


def _failures(route: Route) -> Iterable[HTTPStatus]:
    yield HTTPStatus.BAD_REQUEST
    yield HTTPStatus.UNAUTHORIZED
    yield HTTPStatus.FORBIDDEN
    yield HTTPStatus.TOO_MANY_REQUESTS
    yield HTTPStatus.SERVICE_UNAVAILABLE
    if route.body is not None:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if route.repeats:
        yield HTTPStatus.CONFLICT
    if route.has_etag and route.method in ("PUT", "DELETE"):
        yield HTTPStatus.PRECONDITION_FAILED
    if route.about is About.NAMED and "{" in route.path:
        yield HTTPStatus.NOT_FOUND


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = _inlined(route.query)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
        for name, field in schema["properties"].items()
    ]


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a query, whose fields are plain values, with what they refer to put in."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def put_in(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return put_in(definitions[value["$ref"].rsplit("/", 1)[1]])
            return {name: put_in(item) for name, item in value.items()}
        return [put_in(item) for item in value] if isinstance(value, list) else value

    inlined: dict[str, Any] = put_in(schema)
    return inlined


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is not sent as null."""
    kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    rest = {name: value for name, value in field.items() if name not in ("anyOf", "title")}
    if rest.get("default", 0) is None:
        del rest["default"]
    if not kinds:
        return rest
    return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}


def _headers(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if route.repeats:
        schema = {"type": "string", "pattern": "^[!-~]{1,128}$"}
        found.append({"name": IDEMPOTENCY_KEY, "in": "header", "schema": schema})
    if route.has_etag:
        name = "If-None-Match" if route.method == "GET" else "If-Match"
        schema = {"type": "string", "pattern": '^(\\*|"[!#-~]{1,100}")$'}
        found.append({"name": name, "in": "header", "schema": schema})
    return found


def _json_answer(description: str, schema: Any) -> dict[str, Any]:
    return _answer(description, schema, "application/json")


def _answer(description: str, schema: Any, media_type: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _problem_answer(description: str) -> dict[str, Any]:
    schema = {"$ref": _TEMPLATE.format(model="Problem")}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": schema}},
    }


def _id(method: str, path: str) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", " ", path).split()
    return "_".join([method.lower(), *words])
