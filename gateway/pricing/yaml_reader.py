"""Reads a YAML file so that an error can say file, line, what was found and what was expected.

Strings, numbers and dates are read as the text that stands in the file: a price never becomes a
float on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

import yaml


class MalformedFileError(ValueError):
    """A file of ours does not say what it must. The text names file, line and expectation."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a parsed file, with the words to complain about it."""

    name: str
    node: yaml.Node

    def error(self, expected: str) -> MalformedFileError:
        """The complaint: file, line, what was expected, and what stands there."""
        line = self.node.start_mark.line + 1
        match self.node:
            case yaml.ScalarNode():
                found = repr(self.node.value)
            case yaml.SequenceNode():
                found = "a list"
            case _:
                found = "a mapping"
        return MalformedFileError(f"{self.name}:{line}: expected {expected}, got {found}")

    def members(self) -> Iterator[tuple[str, Place]]:
        """The members of a mapping, in order. Raises: MalformedFileError on a duplicate key."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("a mapping")
        seen: set[str] = set()
        for key, value in self.node.value:
            text = Place(self.name, key).text()
            if text in seen:
                raise Place(self.name, key).error("every key once")
            seen.add(text)
            yield text, Place(self.name, value)

    def fields(self, known: Iterable[str]) -> Mapping[str, Place]:
        """The members of a mapping whose keys are all known."""
        known = frozenset(known)
        found: dict[str, Place] = {}
        for key, place in self.members():
            if key not in known:
                raise place.error(f"one of the keys {', '.join(sorted(known))}, not {key!r}, here")
            if not place.is_null():
                found[key] = place
        return found

    def items(self) -> list[Place]:
        """The items of a sequence."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("a list")
        return [Place(self.name, item) for item in self.node.value]

    def texts(self) -> tuple[str, ...]:
        """The items of a sequence of strings."""
        return tuple(item.text() for item in self.items())

    def text(self) -> str:
        """The scalar as it is written."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("a single value")
        return str(self.node.value)

    def is_null(self) -> bool:
        """Whether nothing stands here."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"

    def decimal(self) -> Decimal:
        """The scalar as an exact decimal that is finite and not negative."""
        try:
            value = Decimal(self.text())
        except InvalidOperation as exc:
            raise self.error("a decimal number") from exc
        if not value.is_finite() or value < 0:
            raise self.error("a decimal number that is finite and not negative")
        return value

    def count(self) -> int:
        """The scalar as a whole number above zero; `_` may group digits."""
        text = self.text().replace("_", "")
        if not text.isdecimal() or int(text) == 0:
            raise self.error("a whole number above zero")
        return int(text)

    def day(self) -> date:
        """The scalar as a calendar day."""
        try:
            return date.fromisoformat(self.text())
        except ValueError as exc:
            raise self.error("a day as YYYY-MM-DD") from exc


def read_yaml(text: str, name: str) -> Place:
    """The root of a YAML document. Raises: MalformedFileError if it is none, or empty."""
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else 1
        raise MalformedFileError(f"{name}:{line}: expected YAML: {exc.problem}") from exc
    if node is None:
        raise MalformedFileError(f"{name}:1: expected a mapping, got an empty file")
    return Place(name, node)
