from __future__ import annotations

import stat

import pytest

from gateway.adapters.files.audit_checkpoints import FileCheckpoints, read_checkpoints
from gateway.adapters.signing import SignatureCheck, Signer
from gateway.control.audit_verify import ChainCheck, FlawKind
from tests.fakes.audit import START, chain

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


@pytest.fixture
def signer():
    return Signer(MASTER)


@pytest.fixture
def checkpoints(tmp_path, signer):
    return FileCheckpoints(tmp_path / "audit" / "checkpoints.jsonl", signer, lambda: START)


def check_of(checkpoints, signer):
    return ChainCheck("main", checkpoints.all(), SignatureCheck(signer.public_key))


def test_checkpoints_are_kept_signed_and_say_where_the_chain_was(checkpoints, signer):
    entries = chain(3)
    for entry in entries:
        checkpoints.add(entry)
    marks = checkpoints.all()
    assert [(mark.seq, mark.hash, mark.at) for mark in marks] == [
        (entry.seq, entry.hash, START) for entry in entries
    ]
    check = check_of(checkpoints, signer)
    assert [check.take(entry) for entry in entries] == [None] * 3
    assert check.finish() is None


def test_there_are_none_before_the_first(checkpoints):
    assert checkpoints.all() == ()


def test_nobody_else_may_read_or_change_them(tmp_path, checkpoints):
    checkpoints.add(chain(1)[0])
    path = tmp_path / "audit" / "checkpoints.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_line_that_a_crash_cut_short_takes_no_other_with_it(tmp_path, checkpoints):
    first, second, third = chain(3)
    checkpoints.add(first)
    checkpoints.add(second)
    path = tmp_path / "audit" / "checkpoints.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    checkpoints.add(third)
    assert [mark.seq for mark in checkpoints.all()] == [1, 3]


@pytest.mark.parametrize("old", [b'"seq": 2', b'"seq": 1'])
def test_one_that_was_altered_is_not_genuine(tmp_path, checkpoints, signer, old):
    for entry in chain(2):
        checkpoints.add(entry)
    path = tmp_path / "audit" / "checkpoints.jsonl"
    path.write_bytes(path.read_bytes().replace(old, b'"seq": 7'))
    flaw = check_of(checkpoints, signer).finish()
    assert flaw.kind is FlawKind.FORGED_CHECKPOINT


@pytest.mark.parametrize("line", [b"garbage", b"{}", b"[]", b'{"chain": 1, "seq": "x"}', b"\xff"])
def test_a_line_that_is_no_checkpoint_is_left_out(line):
    assert read_checkpoints(line + b"\n") == ()
