from __future__ import annotations

import gzip
import io
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.admin.models.document import Given, Name, PageQuery
from gateway.admin.problem import ProblemError, problem_of_problem
from gateway.admin.reading import MAX_BODY_BYTES, read_body, read_query


class Inner(Given):
    usd: int


class Order(Given):
    org: Name
    limits: tuple[Inner, ...] = ()


def query(text, model=PageQuery):
    return read_query(make_mocked_request("GET", f"/?{text}"), model)


def test_a_query_becomes_its_model():
    assert query("limit=7&cursor=abc") == PageQuery(limit=7, cursor="abc")
    assert query("") == PageQuery()
    assert query("", None) is None


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("limits=3", "limits"),
        ("limit=x", "limit"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1&limit=2", "limit"),
        ("Limit=1", "Limit"),
    ],
)
def test_a_query_that_is_wrong_says_where_and_not_what_it_was(text, parameter):
    with pytest.raises(ProblemError) as refused:
        query(text)
    assert refused.value.status == 400
    assert refused.value.errors[0].parameter == parameter


def test_a_route_without_a_query_takes_none():
    with pytest.raises(ProblemError) as refused:
        query("a=1", None)
    assert refused.value.errors[0].expected == "no query parameters"


@pytest.fixture
async def post(aiohttp_client):
    async def handle(request):
        options = {"model": Order, "may_be_none": request.path == "/optional"}
        if request.path == "/none":
            options["model"] = None
        try:
            model, raw = await read_body(request, **options)
        except ProblemError as error:
            return problem_of_problem(error, request.path)
        return web.json_response({"org": model and model.org, "bytes": len(raw)})

    app = web.Application(client_max_size=10 * MAX_BODY_BYTES)
    app.router.add_post("/{tail:.*}", handle)
    client = await aiohttp_client(app)

    async def send(content, path="/", **headers):
        given = {"Content-Type": "application/json", **headers}
        answer = await client.post(path, data=content, headers=given)
        return answer.status, await answer.json(content_type=None)

    return send


async def test_a_body_becomes_its_model(post):
    assert await post(b'{"org": "acme"}') == (200, {"org": "acme", "bytes": 15})


async def test_every_field_that_is_wrong_is_named_by_a_pointer(post):
    status, problem = await post(
        json.dumps({"org": "a b", "limits": [{"usd": 1}, {"usd": "secret"}], "x/y~z": 1}).encode()
    )
    assert status == 422
    assert {error["pointer"] for error in problem["errors"]} == {
        "#/org",
        "#/limits/1/usd",
        "#/x~1y~0z",
    }
    assert "secret" not in json.dumps(problem)
    assert "a b" not in json.dumps(problem)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"org":"a","org":"b"}', 400),
        (b'{"org": NaN}', 400),
        (b'\xef\xbb\xbf{"org":"a"}', 400),
        (b'{"org": "\xff"}', 400),
        (b'{"org": "\\ud800"}', 422),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        (b"{}", 422),
        (b'{"org": 1}', 422),
        (b'{"org": null}', 422),
    ],
)
async def test_a_body_that_is_not_what_it_must_be_is_refused(post, content, status):
    assert (await post(content))[0] == status


async def test_a_body_is_json_in_utf_8_and_says_so(post):
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
    ):
        assert (await post(b'{"org":"acme"}', **{"Content-Type": kind}))[0] == 415
    utf_8 = {"Content-Type": "application/json; charset=UTF-8"}
    assert (await post(b'{"org":"acme"}', **utf_8))[0] == 200


async def test_a_coded_body_is_refused_and_never_unpacked(post):
    packed = gzip.compress(b'{"org":"acme"}')
    assert (await post(packed, **{"Content-Encoding": "gzip"}))[0] == 415
    assert (await post(b"{}", **{"Content-Encoding": "aws-chunked"}))[0] == 415
    assert (await post(b'{"org":"acme"}', **{"Content-Encoding": "identity"}))[0] == 200


async def test_a_body_has_its_bound_whatever_the_server_around_allows(post):
    status, problem = await post(io.BytesIO(b'{"org": "' + b"a" * MAX_BODY_BYTES + b'"}'))
    assert (status, problem["type"]) == (413, "urn:bedrock-gateway:problem:body_too_large")


async def test_a_route_may_take_no_body_or_do_without_one(post):
    assert (await post(b"{}", "/none"))[0] == 400
    assert await post(b"", "/none") == (200, {"org": None, "bytes": 0})
    assert await post(b"", "/optional") == (200, {"org": None, "bytes": 0})
