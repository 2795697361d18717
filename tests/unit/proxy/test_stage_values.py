import pytest

from gateway.domain.call import Operation
from tests.fakes.calls import admitted_call


def test_each_value_holds_the_one_before_it():
    admitted = admitted_call(operation="converse-stream")
    identified = admitted.identified
    assert admitted.call is identified.call is identified.authenticated.call
    assert admitted.call.operation is Operation.CONVERSE_STREAM


def test_a_value_cannot_be_changed_and_does_not_show_its_body():
    admitted = admitted_call(body=b'{"messages": [{"role":"user","content":[{"text":"secret"}]}]}')
    assert "secret" not in repr(admitted)
    with pytest.raises(AttributeError):
        admitted.call.body = b""
