from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.authn.bearer_verifier import BearerVerifier
from gateway.authn.key_format import bearer_key
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON
from tests.fakes.issued_keys import FakeKeyDirectory, digest, issued_key

KEY_ID = KeyId("AKIA" + "A" * 16)
OTHER_ID = KeyId("AKIA" + "B" * 16)
TOKEN = bearer_key(KEY_ID, bytes(32))
KEYS = FakeKeyDirectory(issued_key(KEY_ID, bearer=TOKEN))


async def refusal(token, keys=KEYS, by_digest=digest):
    with pytest.raises(GatewayError) as refused:
        await BearerVerifier(keys, by_digest).verify(token, NOON)
    return refused.value


async def test_an_issued_bearer_key_is_recognised():
    key = await BearerVerifier(KEYS, digest).verify(TOKEN, NOON)
    assert key.key_id == KEY_ID


async def test_a_change_of_any_character_makes_the_key_unknown():
    for i, character in enumerate(TOKEN):
        changed = TOKEN[:i] + ("b" if character != "b" else "c") + TOKEN[i + 1 :]
        assert (await refusal(changed)).reason is Reason.CREDENTIAL_UNKNOWN


async def test_an_unknown_id_and_a_wrong_key_are_refused_alike():
    wrong = await refusal(bearer_key(KEY_ID, b"\1" * 32))
    unknown = await refusal(bearer_key(OTHER_ID, bytes(32)))
    assert (wrong.reason, wrong.detail) == (unknown.reason, unknown.detail)


async def test_an_unknown_id_costs_the_same_digest():
    digested = []

    def counting(token):
        digested.append(token)
        return digest(token)

    for key_id in (KEY_ID, OTHER_ID):
        await refusal(bearer_key(key_id, b"\1" * 32), by_digest=counting)
    assert len(digested) == 2


async def test_a_key_that_has_no_bearer_half_is_matched_by_no_token():
    keys = FakeKeyDirectory(issued_key(KEY_ID))
    assert (await refusal(TOKEN, keys)).reason is Reason.CREDENTIAL_UNKNOWN


async def test_two_tokens_with_a_long_common_prefix_are_two_tokens():
    other = TOKEN[:-1] + ("b" if TOKEN[-1] != "b" else "c")
    assert (await refusal(other)).reason is Reason.CREDENTIAL_UNKNOWN


@pytest.mark.parametrize(
    "token",
    [
        "",
        "XYZ",
        "' OR 1=1 --",
        "bgk-{a}:*-x",
        "bedrock-api-key-YmVkcm9jaw==",
        "\x00",
        "x" * 100_000,
    ],
)
async def test_a_token_of_another_form_reaches_no_store(token):
    keys = FakeKeyDirectory()
    assert (await refusal(token, keys)).reason is Reason.CREDENTIAL_UNKNOWN
    assert keys.asked == []


async def test_an_ended_key_is_told_to_its_holder_only():
    expired = issued_key(KEY_ID, bearer=TOKEN, expires_at=NOON - timedelta(days=1))
    keys = FakeKeyDirectory(expired)
    assert (await refusal(TOKEN, keys)).reason is Reason.CREDENTIAL_EXPIRED
    guess = bearer_key(KEY_ID, b"\1" * 32)
    assert (await refusal(guess, keys)).reason is Reason.CREDENTIAL_UNKNOWN


async def test_no_refusal_repeats_the_token():
    error = await refusal(bearer_key(KEY_ID, b"\1" * 32))
    assert bearer_key(KEY_ID, b"\1" * 32)[24:] not in f"{error} {error.detail}"
