from __future__ import annotations

import pytest

from gateway.bedrock.request_fields import (
    count_at,
    largest_limit,
    objects,
    optional_count,
    optional_object,
    optional_text,
)
from gateway.domain.errors import GatewayError


@pytest.mark.parametrize("value", ["12", 1.5, True, [], {}, 0, -1, 2**31])
def test_a_count_that_another_reader_may_take_otherwise_is_refused(value):
    with pytest.raises(GatewayError, match=r"/inferenceConfig/maxTokens: expected an integer"):
        optional_count({"maxTokens": value}, "maxTokens", "/inferenceConfig")


def test_a_count_is_read_and_null_reads_as_absent():
    assert optional_count({"n": 7}, "n", "") == 7
    assert optional_count({"n": None}, "n", "") is None
    assert optional_count({}, "n", "") is None
    assert optional_count({"n": 0}, "n", "", least=0) == 0


def test_a_field_of_the_wrong_type_names_its_place_and_both_types():
    with pytest.raises(GatewayError, match=r"/a/b: expected an object, got a string"):
        optional_object({"b": "x"}, "b", "/a")
    with pytest.raises(GatewayError, match=r"/a/b: expected a string, got an integer"):
        optional_text({"b": 1}, "b", "/a")
    with pytest.raises(GatewayError, match=r"/a/b: expected an array, got an object"):
        list(objects({"b": {}}, "b", "/a"))
    with pytest.raises(GatewayError, match=r"/a/b/1: expected an object, got a string"):
        list(objects({"b": [{}, "x"]}, "b", "/a"))


def test_objects_of_an_array_come_with_their_pointers():
    assert list(objects({"b": [{"x": 1}]}, "b", "/a")) == [("/a/b/0", {"x": 1})]
    assert list(objects({}, "b", "/a")) == []
    assert optional_object({"b": {}}, "b", "") == {}
    assert optional_text({"b": "x"}, "b", "") == "x"


def test_a_limit_is_found_at_its_path_and_the_largest_of_several_counts():
    body = {"inferenceConfig": {"maxTokens": 5, "max_new_tokens": 9}, "max_tokens": 7}
    assert count_at(body, ("inferenceConfig", "maxTokens")) == 5
    assert count_at(body, ("textGenerationConfig", "maxTokenCount")) is None
    paths = (("inferenceConfig", "maxTokens"), ("inferenceConfig", "max_new_tokens"))
    assert largest_limit(body, paths) == 9
    assert largest_limit({}, paths) is None
    with pytest.raises(GatewayError, match=r"/inferenceConfig: expected an object"):
        count_at({"inferenceConfig": [1]}, ("inferenceConfig", "maxTokens"))
