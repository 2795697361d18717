"""Operations: which of them stream, cost money, or only read."""

from __future__ import annotations

from gateway.domain.call import Operation


def test_streams_are_the_two_stream_operations():
    assert {o for o in Operation if o.streams} == {
        Operation.CONVERSE_STREAM,
        Operation.INVOKE_MODEL_STREAM,
    }


def test_every_operation_is_billed_or_free_and_counting_tokens_is_free():
    billed = {operation for operation in Operation if operation.is_billed}
    free = {operation for operation in Operation if operation.is_control_plane}
    assert billed.isdisjoint(free)
    assert set(Operation) - billed - free == {Operation.COUNT_TOKENS}
    assert all(operation in billed for operation in Operation if operation.streams)


def test_converse_has_two_forms():
    assert {o for o in Operation if o.is_converse} == {
        Operation.CONVERSE,
        Operation.CONVERSE_STREAM,
    }


def test_reads_of_the_control_plane_are_named_as_reads():
    for operation in Operation:
        assert operation.is_control_plane == operation.value.startswith(("List", "Get"))
