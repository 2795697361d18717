from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authn.key_format import (
    BEARER_BYTES,
    KEY_ID_BYTES,
    SECRET_BYTES,
    bearer_key,
    key_id_from,
    key_id_of_bearer,
    secret_from,
)


@given(st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES))
def test_a_key_id_has_the_form_of_an_access_key_id(random):
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key_id_from(random))


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_secret_has_forty_characters_that_need_no_quoting(random):
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", secret_from(random))


@given(
    st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES),
    st.binary(min_size=BEARER_BYTES, max_size=BEARER_BYTES),
)
def test_the_key_id_can_be_read_from_a_bearer_key(id_random, random):
    key_id = key_id_from(id_random)
    token = bearer_key(key_id, random)
    assert key_id_of_bearer(token) == key_id
    assert len(token) == 77


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_different_randomness_makes_different_keys(one, other):
    if len(one) == len(other) == BEARER_BYTES and one != other:
        key_id = key_id_from(bytes(KEY_ID_BYTES))
        assert bearer_key(key_id, one) != bearer_key(key_id, other)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "bgk-",
        "XYZ",
        "bedrock-api-key-XYZ",
        "bgk-AKIAAAAAAAAAAAAAAAAA-short",
        "bgk-AKIAAAAAAAAAAAAAAAA1-" + "a" * 52,
        "bgk-AKIAAAAAAAAAAAAAAAAA-" + "a" * 52 + "\n",
        "bgk-AKIAAAAAAAAAAAAAAAAA-" + "A" * 52,
        "bgk-{AKIA}:AAAAAAAAAAAAA-" + "a" * 52,
    ],
)
def test_any_other_token_names_no_key(token):
    assert key_id_of_bearer(token) is None


def test_the_wrong_amount_of_randomness_is_refused():
    for make, count in ((key_id_from, KEY_ID_BYTES), (secret_from, SECRET_BYTES)):
        with pytest.raises(ValueError, match="random bytes"):
            make(bytes(count - 1))
    with pytest.raises(ValueError, match="random bytes"):
        bearer_key(key_id_from(bytes(KEY_ID_BYTES)), b"")
