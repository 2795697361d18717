"""A value in one of our files, together with where it stands: typed reading, errors with a line.

A price is a quoted decimal, so that no reader of YAML makes a float of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.documents.checked import nearest
from gateway.documents.marked_yaml import DocumentError, MarkedDocument, Path, read_marked_yaml


@dataclass(frozen=True, slots=True)
class Place:
    """One value of a document. Every reading raises DocumentError with file, line and remedy."""

    document: MarkedDocument
    path: Path
    value: Any

    @property
    def line(self) -> int:
        """The line the value stands in, counted from 1."""
        return self.document.mark(self.path).line

    def error(self, expected: str) -> DocumentError:
        """The complaint: where, what was expected, and what stands there."""
        match self.value:
            case dict():
                found = "a mapping"
            case list():
                found = "a list"
            case None:
                found = "nothing"
            case _:
                found = repr(str(self.value)[:80])
        return DocumentError(
            [self.document.problem(self.path, f"expected {expected}, got {found}")]
        )

    def members(self) -> Iterator[tuple[str, Place]]:
        """The members of a mapping, in order."""
        if not isinstance(self.value, dict):
            raise self.error("a mapping")
        for key, value in self.value.items():
            yield key, Place(self.document, (*self.path, key), value)

    def fields(self, known: Iterable[str]) -> Mapping[str, Place]:
        """The members of a mapping that are not null; all its keys must be known."""
        found: dict[str, Place] = {}
        for key, place in self.members():
            if key not in known:
                what = f"the key {key!r} is not known here; {nearest(key, known)}"
                raise DocumentError([self.document.problem(place.path, what)])
            if place.value is not None:
                found[key] = place
        return found

    def items(self) -> list[Place]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        return [Place(self.document, (*self.path, at), v) for at, v in enumerate(self.value)]

    def texts(self) -> tuple[str, ...]:
        """The items of a list of texts."""
        return tuple(item.text() for item in self.items())

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            raise self.error("text (quote it)")
        return self.value

    def decimal(self) -> Decimal:
        """The value as an exact decimal that is finite and not negative."""
        if not isinstance(self.value, str):
            raise self.error('a decimal number in quotes such as "0.25"')
        try:
            value = Decimal(self.value)
        except InvalidOperation as exc:
            raise self.error('a decimal number in quotes such as "0.25"') from exc
        if not value.is_finite() or value < 0:
            raise self.error("a decimal number that is finite and not negative")
        return value

    def count(self) -> int:
        """The value as a whole number above zero."""
        if type(self.value) is not int or self.value < 1:
            raise self.error("a whole number above zero")
        return self.value

    def day(self) -> date:
        """The value as a calendar day."""
        try:
            return date.fromisoformat(self.text())
        except ValueError as exc:
            raise self.error("a day as YYYY-MM-DD") from exc


def read_place(text: str, file: str) -> Place:
    """The top of a YAML document. Raises: DocumentError if it is no document, or an empty one."""
    document = read_marked_yaml(text, file)
    if document.value is None:
        raise DocumentError.at_top(file, "expected a mapping, got an empty file")
    return Place(document, (), document.value)
