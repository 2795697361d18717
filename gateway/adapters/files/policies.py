"""The policy folder on disk, read whole and within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.adapters.files.text import read_text_file
from gateway.documents.marked_yaml import DocumentError

MAX_FILES = 1_000
MAX_FILE_BYTES = 1024 * 1024
_SUFFIXES = frozenset({".yaml", ".yml"})


def read_policy_folder(folder: Path) -> Mapping[str, str]:
    """The text of every policy file by its name; hidden files and other suffixes are left out.

    Links are followed: a folder mounted from a Kubernetes ConfigMap is made of them.
    Raises: DocumentError if the folder or a file cannot be read, is not UTF-8, or is too large.
    """
    try:
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in _SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as exc:
        raise DocumentError.at_top(str(folder), f"cannot be read: {exc.strerror}") from exc
    if len(paths) > MAX_FILES:
        what = f"expected at most {MAX_FILES} policy files, got {len(paths)}"
        raise DocumentError.at_top(str(folder), what)
    return {str(path): read_text_file(path, max_bytes=MAX_FILE_BYTES) for path in paths}
