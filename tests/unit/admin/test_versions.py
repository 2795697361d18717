from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.admin.problem import ProblemError
from gateway.admin.versions import header_of, tags_of


def tags(*values):
    return tags_of(
        make_mocked_request("GET", "/", headers=[("If-Match", v) for v in values]), "If-Match"
    )


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((), None),
        (("*",), {"*"}),
        (('"3"',), {"3"}),
        (('"3", W/"4"',), {"3", "4"}),
        (('"3"', '"4"'), {"3", "4"}),
        ((header_of("abc"),), {"abc"}),
    ],
)
def test_a_condition_names_versions(values, found):
    assert tags(*values) == found


@pytest.mark.parametrize("value", ["", "3", '"3', '"3" "4"', '"a"b"', '"' + "x" * 5000 + '"'])
def test_what_names_no_version_is_refused(value):
    with pytest.raises(ProblemError) as refused:
        tags(value)
    assert (refused.value.status, refused.value.errors[0].parameter) == (400, "If-Match")
