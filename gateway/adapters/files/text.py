"""A text file that people write, read whole and within bounds."""

from __future__ import annotations

from pathlib import Path

from gateway.documents.marked_yaml import DocumentError


def read_text_file(path: Path, *, max_bytes: int) -> str:
    """The file's text.

    Raises: DocumentError if it cannot be read, is not UTF-8, or is larger than `max_bytes`.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as exc:
        raise DocumentError.at_top(str(path), f"cannot be read: {exc.strerror}") from exc
    if len(content) > max_bytes:
        raise DocumentError.at_top(str(path), f"larger than {max_bytes} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise DocumentError.at_top(str(path), f"not UTF-8 in line {line}") from exc
