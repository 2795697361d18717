from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.record import CallStatus
from gateway.journal.codec import (
    DAY_SHARDS,
    UnreadableDocumentError,
    check_document,
    day_key,
    decode_document,
    encode_record,
    from_item,
    instant_of,
    item_size_bytes,
    owner_key,
    to_item,
)
from tests.fakes.records import document_of, usage_record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
optional_texts = st.none() | texts
counts = st.none() | st.integers(min_value=0, max_value=2**53 - 1)
records = st.builds(
    usage_record,
    request_id=st.text("abcdef0123456789", min_size=1, max_size=32),
    user=optional_texts.filter(lambda text: text != ""),
    feature=optional_texts,
    error=optional_texts,
    metadata=st.lists(st.tuples(texts, texts), max_size=4, unique_by=lambda pair: pair[0]).map(
        tuple
    ),
    other_units=st.lists(
        st.tuples(st.sampled_from(["image", "search_unit"]), st.decimals(0, 10**6, places=3)),
        max_size=2,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
    input_tokens=counts,
    cost_usd=st.decimals(0, 10**6, places=18),
    cost_nano_usd=st.integers(min_value=0, max_value=2**53 - 1),
    exact=st.booleans(),
    rank=st.integers(min_value=1, max_value=3),
    status=st.sampled_from(CallStatus),
    accounts=st.lists(texts, max_size=4).map(tuple),
)


@given(records)
def test_an_item_gives_back_the_document_it_was_made_of(record):
    document = orjson.loads(orjson.dumps(record.to_document()))
    assert decode_document(encode_record(record)) == document
    assert from_item(to_item(document)) == document


def test_what_is_null_is_not_stored():
    item = to_item(document_of(feature=None, latency_ms=None))
    assert "feature" not in item
    assert "latency_ms" not in item


def test_money_keeps_every_digit_as_decimal_text():
    exact = Decimal("0.000000000123456789012345678")
    item = to_item(document_of(cost_usd=exact, cost_nano_usd=2**53 - 1))
    assert item["cost_usd"] == {"S": "0.000000000123456789012345678"}
    assert item["cost_nano_usd"] == {"N": "9007199254740991"}


def test_truth_is_not_a_number():
    assert to_item(document_of(exact=True))["exact"] == {"BOOL": True}


def test_derived_attributes_serve_indexes_and_expiry():
    item = to_item(document_of("req-7", time="2026-11-21T23:30:00-02:00"))
    assert item["_owner"] == {"S": "org/acme/team/web/user/ada"}
    assert item["_at"] == {"S": "2026-11-22T01:30:00.000000Z"}
    assert item["_day"]["S"].startswith("2026-11-22#")
    assert item["_org_day"] == {"S": f"acme#{item['_day']['S']}"}
    assert int(item["_expires"]["N"]) - instant_of(document_of()).timestamp() > 399 * 86_400
    assert item["time"] == {"S": "2026-11-21T23:30:00-02:00"}


def test_times_of_an_index_sort_as_instants_do():
    times = ["2026-11-21T10:00:00+00:00", "2026-11-21T10:00:00.5+00:00", "2026-11-21T11:00:01Z"]
    keys = [to_item(document_of(time=time))["_at"]["S"] for time in times]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({}, "org/acme/team/web/user/ada"),
        ({"user": None, "application": "shop"}, "org/acme/application/shop"),
        ({"user": None}, "org/acme/team/web"),
    ],
)
def test_a_record_belongs_to_the_narrowest_scope_its_credential_bound(changes, owner):
    assert owner_key(document_of(**changes)) == owner


def test_a_days_records_are_spread_over_all_shards():
    instant = instant_of(document_of())
    keys = {day_key(instant, f"request-{number}") for number in range(1000)}
    assert len(keys) == DAY_SHARDS
    assert {key.partition("#")[0] for key in keys} == {"2026-11-21"}


def _whole(more):
    return b'{"request_id":"r","rank":2,"cost_nano_usd":1,"org":"a","team":"b",' + more + b"}"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"request_id": NaN}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "request_id"),
        (b'{"request_id":""}', "request_id"),
        (b'{"request_id":"r"}', "rank"),
        (b'{"request_id":"r","rank":true}', "rank"),
        (b'{"request_id":"r","rank":2}', "cost_nano_usd"),
        (b'{"request_id":"r","rank":2,"cost_nano_usd":1}', "org"),
        (b'{"request_id":"r","rank":2,"cost_nano_usd":1,"org":"a","team":"b"}', "time"),
        (b'{"request_id":"r","rank":2,"cost_nano_usd":-1}', "cost_nano_usd"),
        (_whole(b'"settled_at":7'), "settled_at"),
        (_whole(b'"time":"now"'), "time"),
        (_whole(b'"time":"2026-01-01"'), "zone"),
    ],
)
def test_what_is_no_record_is_told_apart(data, complaint):
    with pytest.raises(UnreadableDocumentError, match=complaint):
        decode_document(data)


def test_an_id_too_long_for_a_key_is_refused():
    with pytest.raises(UnreadableDocumentError, match="request_id"):
        document_of("r" * 257)


def test_a_document_cannot_bring_the_tables_own_attributes():
    with pytest.raises(UnreadableDocumentError, match="underscore"):
        check_document({**document_of(), "_expires": 1})


@pytest.mark.parametrize("value", ["\ud800", float("nan"), 10**38 + 1, object(), {"a": {"b"}}])
def test_values_that_no_item_can_hold_are_refused(value):
    with pytest.raises(UnreadableDocumentError):
        to_item({**document_of(), "extra": value})


def test_numbers_of_38_digits_are_held_exactly():
    largest = 10**38 - 1
    assert from_item(to_item({**document_of(), "extra": largest}))["extra"] == largest


def test_an_attribute_of_a_foreign_type_is_no_part_of_a_record():
    with pytest.raises(UnreadableDocumentError, match="SS"):
        from_item({"request_id": {"S": "r"}, "tags": {"SS": ["a"]}})


def test_sizes_count_names_and_values_in_bytes():
    assert item_size_bytes({"é": {"S": "日本"}}) == 2 + 6
    assert item_size_bytes({"a": {"BOOL": True}, "b": {"N": "12"}}) == 2 + 4
    assert item_size_bytes({"a": {"L": [{"S": "xy"}]}, "b": {"M": {"k": {"NULL": True}}}}) == (
        (1 + 3 + 1 + 2) + (1 + 3 + 1 + 1 + 1)
    )
    assert item_size_bytes({"a": {"B": b"1234"}}) == 5
