from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.sealing import WeakMasterKeyError
from gateway.adapters.signing import SignatureCheck, Signer
from tests.fakes.audit import chain, mark

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="
OTHER = "b3RoZXIga2V5IG9mIGFub3RoZXIgaW5zdGFsbGF0aW9uLCA0MiBieXRlcw=="


def signed(by):
    unsigned = mark(chain(1)[0])
    return replace(unsigned, signature=by.sign(unsigned.message))


def test_every_host_with_the_master_key_signs_alike_and_its_public_key_is_enough_to_check():
    assert Signer(MASTER).public_key == Signer(f" {MASTER}\n").public_key
    assert len(Signer(MASTER).public_key) == 32
    assert SignatureCheck(Signer(MASTER).public_key).is_genuine(signed(Signer(MASTER)))


@pytest.mark.parametrize("change", [{"seq": 2}, {"hash": "0" * 64}, {"chain": "x"}])
def test_a_signature_holds_for_what_it_was_given_for_only(change):
    checkpoint = signed(Signer(MASTER))
    check = SignatureCheck(Signer(MASTER).public_key)
    assert not check.is_genuine(replace(checkpoint, **change))


def test_another_installation_signs_otherwise():
    assert not SignatureCheck(Signer(MASTER).public_key).is_genuine(signed(Signer(OTHER)))


@pytest.mark.parametrize("signature", [b"", b"x" * 64, b"x" * 63])
def test_what_is_no_signature_is_not_genuine(signature):
    check = SignatureCheck(Signer(MASTER).public_key)
    assert not check.is_genuine(replace(signed(Signer(MASTER)), signature=signature))


def test_a_weak_master_key_signs_nothing():
    with pytest.raises(WeakMasterKeyError):
        Signer("short")
