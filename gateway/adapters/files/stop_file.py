"""The stops of this host, one small file each: they work when nothing else does.

A file that is there is a stop. What cannot be read stops the whole platform: whoever put it there
wanted to stop something.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, UnreadableStop, decode_stop, encode_stop, unreadable_stop

_MAX_BYTES = 16 * 1024
_UNFINISHED = ".writing-"


class StopFiles:
    """Implements `domain.stop.HostStops` in a folder that only the gateway's user may read.

    A stop appears whole or not at all, and survives a power cut once `write` has returned.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> tuple[Stop, ...]:
        """All stops; no folder means none. Raises: OSError if the disk does not say."""
        try:
            names = [entry.name for entry in os.scandir(self._folder)]
        except FileNotFoundError:
            return ()
        except (PermissionError, NotADirectoryError) as exc:
            return (self._unreadable(f"{self._folder} cannot be read: {exc.strerror}"),)
        found = (self._read(name) for name in sorted(names) if not name.startswith(_UNFINISHED))
        return tuple(stop for stop in found if stop is not None)

    def write(self, stop: Stop) -> None:
        """Notes a stop in place of an earlier one of its scope. Raises: OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        target = self._folder / _name(stop.scope)
        unfinished = self._folder / f"{_UNFINISHED}{os.getpid()}-{target.name}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(encode_stop(stop) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._belong_to_the_gateway(unfinished)
        unfinished.replace(target)
        self._sync_folder()

    def remove(self, scope: Scope) -> bool:
        """Takes a stop back; False: there was none. Raises: OSError.

        With the platform's goes all that cannot be read, since that is what it stands for.
        """
        try:
            names = [entry.name for entry in os.scandir(self._folder)]
        except FileNotFoundError:
            return False
        removed = False
        for name in names:
            if name == _name(scope) or self._stands_for(name, scope):
                (self._folder / name).unlink(missing_ok=True)
                removed = True
        with contextlib.suppress(OSError):  # others may stand in it
            self._folder.rmdir()
        return removed

    def _stands_for(self, name: str, scope: Scope) -> bool:
        if name.startswith(_UNFINISHED):
            return False
        stop = self._read(name)
        return stop is not None and stop.scope == scope

    def _read(self, name: str) -> Stop | None:
        path = self._folder / name
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None  # taken back meanwhile
        except (PermissionError, IsADirectoryError) as exc:
            return self._unreadable(f"{path} cannot be read: {exc.strerror}")
        if len(text) > _MAX_BYTES:
            return self._unreadable(f"{path} is too long for a stop")
        try:
            return decode_stop(text)
        except UnreadableStop as exc:
            return self._unreadable(f"{path} is no stop: {exc}")

    @staticmethod
    def _unreadable(why: str) -> Stop:
        return unreadable_stop(Scope.platform(), why)

    def _belong_to_the_gateway(self, path: Path) -> None:
        """A stop given by root is for the gateway's user to read."""
        if os.geteuid() == 0:
            owner = self._folder.parent.stat()
            for item in (self._folder, path):
                os.chown(item, owner.st_uid, owner.st_gid)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _name(scope: Scope) -> str:
    """The file of a scope's stop. A path may be longer than a name, hence the digest."""
    return f"{hashlib.sha256(scope.path.encode()).hexdigest()[:32]}.json"
