"""A worker's folder, and the lock that says whether the worker lives.

The lock is the kernel's (flock): it ends with the process, however that ends, and no two processes
hold it. Whoever gets the lock of a folder may therefore do with it as its worker did.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from gateway.adapters.outbox.segment import segments_in

_LOCK = "lock"
_ATTEMPTS = 3


class LockedFolder:
    """A folder that nobody else may touch until it is released, or this process ends."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd: int | None = lock_fd

    @property
    def is_there(self) -> bool:
        """Whether the folder is still where it was, with the very lock we hold."""
        return self._lock_fd is not None and _is_same(self.path / _LOCK, self._lock_fd)

    def sync(self) -> None:
        """Waits until names that came or went are on the disk. Raises: OSError."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Deletes the folder, oldest segment first, the lock last. Raises: OSError.

        Whatever remains after a crash in between is a suffix of the log: an ack may be left without
        its intent, never an intent without its ack.
        """
        for path in segments_in(self.path):
            path.unlink()
        (self.path / _LOCK).unlink()
        self.path.rmdir()
        self.release()

    def release(self) -> None:
        """Lets go of it. Can be told repeatedly."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


def lock_folder(path: Path) -> LockedFolder | None:
    """The folder, if its worker is dead and nobody else adopts it. Raises: OSError."""
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    # Between opening and locking, another adopter may have finished and deleted all of it.
    if not _is_same(path / _LOCK, fd):
        os.close(fd)
        return None
    return LockedFolder(path, fd)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the folder now. Takes nothing but a look. Raises: OSError."""
    try:
        fd = os.open(path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def make_folder(root: Path, name: str) -> LockedFolder:
    """A new folder of our own. Raises: OSError.

    Between its making and its locking an adopter may take it for a dead one's, and delete it: then
    it is made anew.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):
        path = root / (f"{name}-{attempt}" if attempt else name)
        path.mkdir(mode=0o700)
        folder = lock_folder(path)
        if folder is not None:
            return folder
    raise OSError(f"could not keep a folder under {root}")


def _is_same(path: Path, fd: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(fd)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
