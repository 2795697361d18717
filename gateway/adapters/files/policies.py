"""The policy folder on disk, read whole and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway.adapters.files.text import read_text_file
from gateway.documents.marked_yaml import DocumentError

MAX_FILES = 1_000
MAX_FILE_BYTES = 1024 * 1024
_SUFFIXES = frozenset({".yaml", ".yml"})
_CASES = ".cases"
"""What files with given/when/then cases end in before their suffix: they stand beside policies."""


def read_policy_folder(folder: Path) -> Mapping[str, str]:
    """The text of every policy file by its name. Left out: hidden files, cases, other suffixes.

    Links are followed: a folder mounted from a Kubernetes ConfigMap is made of them.
    Raises: DocumentError if the folder or a file cannot be read, is not UTF-8, or is too large.
    """
    paths = _policy_files(folder)
    return {str(path): read_text_file(path, max_bytes=MAX_FILE_BYTES) for path in paths}


class PolicyFolder:
    """Implements `workers.policy_publisher.WatchedFolder`, without making the event loop wait."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self._folder)

    async def signature(self) -> object:
        """Equal as long as nothing in it was written, renamed, replaced or linked elsewhere."""
        return await asyncio.to_thread(self._signature)

    async def read(self) -> Mapping[str, str]:
        """The text of every policy file by its name in the folder. Raises: DocumentError."""
        found = await asyncio.to_thread(read_policy_folder, self._folder)
        return {Path(path).name: text for path, text in found.items()}

    def _signature(self) -> object:
        try:
            return tuple(
                (path.name, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
                for path in _policy_files(self._folder)
                for at in (path.stat(),)
            )
        except (OSError, DocumentError) as exc:
            # What it is that cannot be read, `read` says.
            return str(exc)


def _policy_files(folder: Path) -> list[Path]:
    try:
        paths = sorted(
            path for path in folder.iterdir() if _is_policy_name(path) and _is_a_file(path)
        )
    except OSError as exc:
        raise DocumentError.at_top(str(folder), f"cannot be read: {exc.strerror}") from exc
    if len(paths) > MAX_FILES:
        what = f"expected at most {MAX_FILES} policy files, got {len(paths)}"
        raise DocumentError.at_top(str(folder), what)
    return paths


def _is_policy_name(path: Path) -> bool:
    is_hidden = path.name.startswith(".")
    return path.suffix in _SUFFIXES and not is_hidden and not path.stem.endswith(_CASES)


def _is_a_file(path: Path) -> bool:
    """Whether it is one, or a link to nothing: a file that is missed is no file that is absent."""
    return path.is_file() or (path.is_symlink() and not path.exists())
