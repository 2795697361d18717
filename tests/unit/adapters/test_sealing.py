from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.sealing import AesGcmSealer, WeakMasterKeyError, check_master_key
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.stored_keys import SECRET, sealed_key, stored_key

MASTER = base64.b64encode(bytes(range(32))).decode()
OTHER_MASTER = base64.b64encode(bytes(range(100, 132))).decode()
SEALER = AesGcmSealer(MASTER)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_sealed_key_opens_with_all_that_it_says():
    stored = sealed_key(SEALER, role="viewer", may_act_for_others=True)
    issued = SEALER.open(stored)
    assert issued.secret == SECRET
    assert issued.role is Role.VIEWER
    assert (issued.org, issued.team, issued.user) == ("acme", "web", "ada")
    assert issued.may_set == {"feature"}
    assert issued.may_act_for_others
    assert issued.expires_at == stored.expires_at
    assert issued.bearer_digest == stored.bearer_digest


def test_neither_the_store_nor_a_repr_shows_the_secret():
    stored = sealed_key(SEALER)
    assert SECRET.encode() not in stored.sealed_secret
    assert SECRET not in repr(stored)
    assert SECRET not in repr(SEALER.open(stored))


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "AKIABBBBBBBBBBBBBBBB"},
        {"role": "admin"},
        {"org": "evil"},
        {"team": "other"},
        {"user": "eve"},
        {"user": None},
        {"application": "shop"},
        {"may_set": ("feature", "priority")},
        {"may_act_for_others": True},
        {"expires_at": None},
        {"expires_at": NOON + timedelta(days=3650)},
        {"created_at": NOON},
        {"created_by": "somebody else"},
        {"bearer_digest": SEALER.bearer_digest("a key of my own")},
    ],
    ids=str,
)
def test_whoever_writes_to_the_store_cannot_change_what_a_key_says(change):
    with pytest.raises(GatewayError) as caught:
        SEALER.open(replace(sealed_key(SEALER), **change))
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    assert SECRET not in str(caught.value)


def test_a_secret_does_not_open_under_another_keys_id():
    mine = sealed_key(SEALER, "AKIAMINE", user="eve")
    theirs = sealed_key(SEALER, "AKIATHEIRS", role="admin")
    with pytest.raises(GatewayError):
        SEALER.open(replace(theirs, sealed_secret=mine.sealed_secret))


def test_a_revocation_can_be_marked_without_the_master_key():
    assert SEALER.open(replace(sealed_key(SEALER), revoked_at=NOON)).revoked_at == NOON


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_every_altered_byte_of_the_sealed_secret_is_noticed(position, change):
    stored = sealed_key(SEALER)
    sealed = bytearray(stored.sealed_secret)
    sealed[position % len(sealed)] ^= change
    with pytest.raises(GatewayError):
        SEALER.open(replace(stored, sealed_secret=bytes(sealed)))


@pytest.mark.parametrize("length", [0, 1, 5, 13, 20])
def test_a_sealed_secret_cut_short_does_not_open(length):
    stored = sealed_key(SEALER)
    with pytest.raises(GatewayError):
        SEALER.open(replace(stored, sealed_secret=stored.sealed_secret[:length]))


def test_another_master_key_opens_nothing():
    with pytest.raises(GatewayError, match="does not open"):
        AesGcmSealer(OTHER_MASTER).open(sealed_key(SEALER))


def test_the_same_secret_is_sealed_differently_each_time():
    assert sealed_key(SEALER).sealed_secret != sealed_key(SEALER).sealed_secret


def test_an_instant_counts_whatever_its_zone():
    berlin = stored_key().created_at.astimezone()
    assert SEALER.open(replace(sealed_key(SEALER), created_at=berlin)).secret == SECRET


def test_a_bearer_digest_depends_on_every_character_and_on_the_master_key():
    long = "x" * 500
    digests = {SEALER.bearer_digest(text) for text in ("", "a", "b", long, f"{long}y")}
    assert len(digests) == 5
    assert {len(digest) for digest in digests} == {32}
    assert AesGcmSealer(OTHER_MASTER).bearer_digest("a") not in digests


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "changeme",
        "correct-horse",
        "0" * 64,
        "A" * 44,
        "ab" * 40,
        "0123456789abcdef0123456789abcdef",
        base64.b64encode(b"sixteen bytes...").decode(),
        base64.b64encode(b"abcd" * 8).decode(),
    ],
)
def test_a_master_key_that_could_be_guessed_is_refused_and_not_repeated(weak):
    with pytest.raises(WeakMasterKeyError, match="openssl rand -base64 32") as caught:
        AesGcmSealer(weak)
    assert not weak or weak not in str(caught.value)


@pytest.mark.parametrize(
    "strong",
    [
        MASTER,
        MASTER.rstrip("="),
        bytes(range(32)).hex(),
        base64.urlsafe_b64encode(bytes(range(200, 240))).decode(),
        "a sentence of many words, which is no base64 at all!",
        f"  {MASTER}\n",
    ],
)
def test_a_strong_master_key_is_taken_in_every_usual_form(strong):
    check_master_key(strong)


def test_space_around_a_master_key_does_not_count():
    assert AesGcmSealer(f"{MASTER}\n").open(sealed_key(SEALER)).secret == SECRET


def test_what_is_kept_for_a_while_opens_for_what_it_is_about_and_nothing_else():
    sealer, other = AesGcmSealer(MASTER), AesGcmSealer(OTHER_MASTER)
    sealed = sealer.seal_bytes(b"a-canary", b"name")
    assert b"a-canary" not in sealed
    assert sealer.open_bytes(sealed, b"name") == b"a-canary"
    assert sealer.open_bytes(sealed, b"other") is None
    assert other.open_bytes(sealed, b"name") is None
    assert sealer.open_bytes(b"", b"name") is None
    assert sealer.open_bytes(sealed[:-1], b"name") is None
    assert sealer.seal_bytes(b"a-canary", b"name") != sealed


def test_a_mark_is_the_same_on_every_host_of_an_installation_and_nowhere_else():
    other = AesGcmSealer(OTHER_MASTER)
    assert AesGcmSealer(MASTER).mark(b"x") == AesGcmSealer(MASTER).mark(b"x")
    assert AesGcmSealer(MASTER).mark(b"x") != other.mark(b"x")
