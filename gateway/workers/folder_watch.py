"""Reads a policy folder whenever it has changed and come to rest: whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.control.bundle import digest_of_files
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.clock import Clock

_LONGEST_PAUSE_S = 0.2


class WatchedFolder(Protocol):
    """A folder of policy files, as it is now."""

    @property
    def name(self) -> str:
        """Where it is."""
        ...

    async def signature(self) -> object:
        """Equal as long as nothing in it was written, renamed, replaced or linked elsewhere."""
        ...

    async def read(self) -> Mapping[str, str]:
        """The text of every policy file by its name. Raises: DocumentError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContent:
    """What was read of the folder: its files, or why they cannot be used."""

    files: Mapping[str, str]
    digest: str
    error: DocumentError | None = None


class FolderWatch:
    """One folder. Units: seconds; `settle_s`: how long it has to be quiet before it is read.

    It is read again at intervals, since some file systems hide a change. `was_edited`: its content
    changed while it was watched, and nobody has said since that this is dealt with.
    """

    def __init__(
        self, folder: WatchedFolder, clock: Clock, *, settle_s: float, reread_every_s: float
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._settle_s = settle_s
        self._reread_every_s = reread_every_s
        self._signature: object = None
        self._quiet_since_s = self._read_at_s = -1e9
        self._look_at_s = -1e9
        self._is_read = False
        self._last_good: str | None = None
        self.content: FolderContent | None = None
        self.was_edited = False

    @property
    def name(self) -> str:
        """Where the folder is."""
        return self._folder.name

    async def look(self) -> None:
        """Looks once, if it is time; `content` is what was read last."""
        begun_s = self._clock.monotonic_s()
        if begun_s < self._look_at_s:
            return
        signature, now_s = await self._folder.signature(), self._clock.monotonic_s()
        # A large folder on a slow disk is looked at less often: it must not fill the day.
        self._look_at_s = now_s + min(_LONGEST_PAUSE_S, now_s - begun_s)
        if signature != self._signature:
            self._signature, self._quiet_since_s, self._is_read = signature, now_s, False
        if now_s - self._quiet_since_s < self._settle_s:
            return
        if self._is_read and now_s - self._read_at_s < self._reread_every_s:
            return
        content = await self._read()
        if await self._folder.signature() != signature:
            return  # it changed while it was read: half of it may be old
        self._is_read, self._read_at_s = True, now_s
        self.content = content
        if content.error is None:
            self.was_edited |= self._last_good not in (None, content.digest)
            self._last_good = content.digest

    async def _read(self) -> FolderContent:
        try:
            files = await self._folder.read()
        except DocumentError as exc:
            return FolderContent(files={}, digest="", error=exc)
        return FolderContent(files=files, digest=digest_of_files(files))
