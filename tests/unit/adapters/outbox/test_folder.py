from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.adapters.outbox import folder as folder_module
from gateway.adapters.outbox.folder import is_locked, lock_folder, make_folder
from gateway.adapters.outbox.segment import Segment


def open_files():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_folder_that_is_made_is_ours_alone(tmp_path):
    folder = make_folder(tmp_path / "deep" / "outbox", "worker")
    assert folder.path == tmp_path / "deep" / "outbox" / "worker"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert is_locked(folder.path)
    assert lock_folder(folder.path) is None


def test_a_released_folder_can_be_had_by_one(tmp_path):
    made = make_folder(tmp_path, "worker")
    made.release()
    made.release()
    assert not is_locked(made.path)
    with ThreadPoolExecutor(8) as pool:
        got = [f for f in pool.map(lambda _: lock_folder(made.path), range(50)) if f]
    assert len(got) == 1


def test_a_removed_folder_is_gone_with_all_that_was_in_it(tmp_path):
    folder = make_folder(tmp_path, "worker")
    Segment(folder.path, 1, 0.0).close()
    folder.sync()
    folder.remove()
    assert not folder.path.exists()
    assert not folder.is_there
    assert lock_folder(folder.path) is None


def test_segments_are_removed_oldest_first_and_the_lock_last(tmp_path, monkeypatch):
    folder = make_folder(tmp_path, "worker")
    for number in (2, 1, 3):
        Segment(folder.path, number, 0.0).close()
    removed, unlink = [], type(tmp_path).unlink

    def noting(path, **options):
        removed.append(path.name)
        unlink(path, **options)

    monkeypatch.setattr(type(tmp_path), "unlink", noting)
    folder.remove()
    assert removed == [f"{number:012d}.notes" for number in (1, 2, 3)] + ["lock"]


def test_a_lock_on_a_folder_that_was_deleted_meanwhile_is_no_lock(tmp_path, monkeypatch):
    dead = make_folder(tmp_path, "worker")
    dead.release()
    flock = folder_module.fcntl.flock

    def late(fd, how):
        # Another adopter is done with the folder between our opening and our locking.
        (tmp_path / "worker" / "lock").unlink()
        flock(fd, how)

    monkeypatch.setattr(folder_module.fcntl, "flock", late)
    assert lock_folder(tmp_path / "worker") is None


def test_a_folder_that_an_adopter_took_while_it_was_made_is_made_anew(tmp_path, monkeypatch):
    taken, mkdir = [], type(tmp_path).mkdir

    def taking(path, **options):
        mkdir(path, **options)
        if path.name == "worker":
            taken.append(lock_folder(path))

    monkeypatch.setattr(type(tmp_path), "mkdir", taking)
    folder = make_folder(tmp_path, "worker")
    assert (len(taken), folder.path.name) == (1, "worker-1")


def test_a_name_that_is_in_use_is_refused(tmp_path):
    make_folder(tmp_path, "worker")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path, "worker")


def test_a_lock_that_was_replaced_under_us_is_noticed(tmp_path):
    folder = make_folder(tmp_path, "worker")
    assert folder.is_there
    (folder.path / "lock").unlink()
    (folder.path / "lock").touch()
    assert not folder.is_there


def test_what_is_no_folder_cannot_be_locked(tmp_path):
    (tmp_path / "file").touch()
    assert lock_folder(tmp_path / "file") is None
    assert lock_folder(tmp_path / "nothing") is None
    assert not is_locked(tmp_path / "nothing")


def test_an_error_of_the_system_leaves_no_file_open(tmp_path, monkeypatch):
    make_folder(tmp_path, "worker").release()
    before = open_files()

    def broken(*_):
        raise OSError(5, "no locks here")

    monkeypatch.setattr(folder_module.fcntl, "flock", broken)
    with pytest.raises(OSError, match="no locks here"):
        lock_folder(tmp_path / "worker")
    assert open_files() == before
