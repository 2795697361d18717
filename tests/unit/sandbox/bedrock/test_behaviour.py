import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.bedrock.behaviour import (
    Behaviour,
    behaviour_of,
    sim_marker,
    without_markers,
)
from gateway.sandbox.bedrock.errors import SimulatedError


def test_a_prompt_without_markers_asks_for_nothing():
    assert behaviour_of(b'{"messages": [[["sim: not a marker"]]]}') == Behaviour()


def test_markers_add_up_and_the_last_of_a_name_counts():
    body = b'"[[sim: output=5 no_usage]] then [[sim: output=7 tier=flex]]"'
    assert behaviour_of(body) == Behaviour(output=7, no_usage=True, tier="flex")


@given(st.integers(0, 10**6), st.booleans())
def test_what_is_written_is_what_is_read(output, ignored):
    asked = {"output": output, "raw": "hang"} | ({"ignore_limit": True} if ignored else {})
    assert behaviour_of(sim_marker(**asked).encode()) == Behaviour(**asked)


@pytest.mark.parametrize("marker", ["outptu=5", "no_usage=yes", "output=many", "tier"])
def test_a_marker_that_is_not_understood_is_an_error(marker):
    with pytest.raises(SimulatedError, match="ValidationException"):
        behaviour_of(f"[[sim: {marker}]]".encode())


def test_markers_are_no_part_of_the_text():
    tree = {"a": ["x[[sim: output=5]]y", 1], "b": {"c": None}}
    assert without_markers(tree) == {"a": ["xy", 1], "b": {"c": None}}
