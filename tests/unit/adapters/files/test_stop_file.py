from __future__ import annotations

import os
import stat

import pytest

from gateway.adapters.files.stop_file import StopFiles
from gateway.domain.scope import Scope
from tests.fakes.ledgers import ACME, stop_of

PLATFORM = Scope.platform()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "stop"


@pytest.fixture
def files(folder):
    return StopFiles(folder)


def test_without_a_folder_nothing_is_stopped(files):
    assert files.read() == ()
    assert not files.remove(ACME)


def test_a_stop_is_kept_until_it_is_taken_back(files, folder):
    web = Scope.parse("org/acme/team/web")
    for scope in (ACME, web, PLATFORM):
        files.write(stop_of(scope))
    assert {stop.scope for stop in StopFiles(folder).read()} == {ACME, web, PLATFORM}
    assert files.remove(ACME)
    assert {stop.scope for stop in files.read()} == {web, PLATFORM}
    assert not files.remove(ACME)
    assert files.remove(web)
    assert files.remove(PLATFORM)
    assert not folder.exists()


def test_a_second_stop_of_a_scope_takes_the_place_of_the_first(files):
    files.write(stop_of(ACME, why="first"))
    files.write(stop_of(ACME, why="second"))
    assert [stop.why for stop in files.read()] == ["second"]


def test_only_the_gateways_user_may_read_it(files, folder):
    old = os.umask(0)
    try:
        files.write(stop_of(ACME))
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"stop!", b'{"scope":"acme"}', b"\xff\x00", b"[" * 20_000]
)
def test_a_file_that_cannot_be_read_stops_the_platform_until_that_is_restored(
    files, folder, content
):
    folder.mkdir(parents=True)
    (folder / "by-hand").write_bytes(content)
    (found,) = files.read()
    assert (found.scope, found.until) == (PLATFORM, None)
    assert "by-hand" in found.why
    assert not files.remove(ACME)
    assert files.remove(PLATFORM)
    assert files.read() == ()


def test_a_folder_in_its_place_and_a_file_in_the_folders_place_stop_the_platform(files, folder):
    (folder / "inner").mkdir(parents=True)
    assert [stop.scope for stop in files.read()] == [PLATFORM]
    (folder / "inner").rmdir()
    folder.rmdir()
    folder.touch()
    assert [stop.scope for stop in files.read()] == [PLATFORM]


def test_what_is_not_allowed_to_be_read_stops_the_platform(files, monkeypatch):
    files.write(stop_of(ACME))

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.open", denied)
        assert [stop.scope for stop in files.read()] == [PLATFORM]
    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", denied)
        assert [stop.scope for stop in files.read()] == [PLATFORM]


def test_a_disk_that_does_not_answer_is_an_error_and_no_stop(files, monkeypatch):
    files.write(stop_of(ACME))

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.open", broken)
    with pytest.raises(OSError, match="Input/output"):
        files.read()


def test_one_that_is_being_written_is_not_yet_a_stop(files, folder):
    folder.mkdir(parents=True)
    (folder / ".writing-7-abc.json").write_text("{")
    assert files.read() == ()


def test_a_stop_given_by_root_belongs_to_the_owner_of_the_state(files, folder, monkeypatch):
    owners = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.chown", lambda path, *who: owners.append((path.name, who[0])))
    files.write(stop_of(ACME))
    owner = folder.parent.stat().st_uid
    assert [user for _, user in owners] == [owner, owner]
    assert owners[0][0] == "stop"
