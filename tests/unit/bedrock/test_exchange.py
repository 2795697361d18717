import dataclasses

import pytest

from gateway.bedrock.exchange import UpstreamRequest
from gateway.domain.call import Operation


def test_a_request_is_a_value_that_does_not_show_its_body():
    request = UpstreamRequest(
        operation=Operation.CONVERSE,
        region="us-east-1",
        method="POST",
        path="/model/x/converse",
        query="",
        headers=(("accept", "a"), ("accept", "b")),
        body=b"a secret prompt",
    )
    assert "secret" not in repr(request)
    assert request.headers == (("accept", "a"), ("accept", "b"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.body = b""
