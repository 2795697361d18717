"""YAML whose every value remembers where it stands, read strictly: no surprises of YAML 1.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""The way to a value: keys and list positions from the top."""

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\.[0-9]+")
_MAX_DEPTH = 32
_MAX_DIGITS = 64
_SHOWN_CHARS = 80
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Where something stands in a file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file: where, what, and what was expected.

    `mark` None: what is wrong does not stand in a file (an environment variable).
    """

    file: str
    mark: Mark | None
    what: str

    def __str__(self) -> str:
        if self.mark is None:
            return f"{self.file}: {self.what}"
        return f"{self.file}:{self.mark.line}:{self.mark.column}: {self.what}"


class DocumentError(ValueError):
    """A file cannot be used. `problems` holds everything that is wrong, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda one: (one.file, one.mark or Mark(0, 0), one.what))
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at_top(cls, file: str, what: str) -> DocumentError:
        """The error that a file as a whole gives."""
        return cls((Problem(file, Mark(1, 1), what),))


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDocument:
    """A file's content as plain values (dict, list, str, int, Decimal, bool, None), with marks.

    Numbers with a point are exact decimals; dates stay text. `marks` leads to each value,
    `key_marks` to the key of each value in a mapping. `origins`: top-level values that did not
    come from the file, and what to call the place they came from.
    """

    file: str
    value: Any
    marks: Mapping[Path, Mark]
    key_marks: Mapping[Path, Mark]
    origins: Mapping[str | int, str] = field(default_factory=dict)

    def mark(self, path: Path) -> Mark:
        """Where the value stands, or the nearest thing around it that exists."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return self.marks.get((), Mark(1, 1))

    def key_mark(self, path: Path) -> Mark:
        """Where the key of the value stands, or the nearest thing around it that exists."""
        return self.key_marks.get(path) or self.mark(path)

    def problem(self, path: Path, what: str) -> Problem:
        """Says what is wrong with the value, and where it stands."""
        if path and path[0] in self.origins:
            return Problem(self.origins[path[0]], None, what)
        return Problem(self.file, self.mark(path), what)


def read_marked_yaml(text: str, file: str) -> MarkedDocument:
    """The content of one YAML document.

    Raises: DocumentError naming line and column: bad syntax, duplicate keys, aliases, tags,
    `yes`/`on` for a boolean, octal and base-60 numbers, keys that are not text.
    """
    try:
        _check_depth(text, file)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as exc:
        raise DocumentError((_syntax_problem(exc, text, file),)) from exc
    except yaml.reader.ReaderError as exc:
        raise DocumentError((_character_problem(exc, text, file),)) from exc
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        raise DocumentError.at_top(file, f"not YAML: {exc}") from exc
    walk = _Walk(file)
    value = None if node is None else walk.value(node, ())
    if walk.problems:
        raise DocumentError(walk.problems)
    return MarkedDocument(file=file, value=value, marks=walk.marks, key_marks=walk.key_marks)


def _check_depth(text: str, file: str) -> None:
    """Deep nesting is refused before `compose` sees it: libyaml's binding recurses in C."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            what = f"nested deeper than {_MAX_DEPTH} levels"
            raise DocumentError((Problem(file, _mark(event), what),))


def _character_problem(exc: yaml.reader.ReaderError, text: str, file: str) -> Problem:
    """Where a character stands that YAML has not; libyaml counts the bytes before it."""
    before = text.encode(errors="surrogatepass")[: exc.position].decode(errors="ignore")
    lines = _LINE_END.split(before)
    what = f"not YAML: the character U+{int(exc.character):04X} may not stand here"
    return Problem(file, Mark(len(lines), len(lines[-1]) + 1), what)


def _syntax_problem(exc: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    found, begun = exc.problem_mark or exc.context_mark, exc.context_mark
    where = Mark(1, 1) if found is None else Mark(found.line + 1, found.column + 1)
    last = _LINE_END.split(text)
    if where.line > len(last):  # the parser found the end, and counts it as a line of its own
        where = Mark(len(last), len(last[-1]) + 1)
    context = f" {exc.context}" if exc.context else ""
    if exc.context and begun is not None and begun.line + 1 != where.line:
        context += f" that begins in line {begun.line + 1}"
    what = exc.problem or "it cannot be read"
    if last[where.line - 1][where.column - 1 : where.column] == "\t":
        what = "a tab stands here, and YAML is indented with spaces"
        context = ""
    return Problem(file, where, f"not YAML: {what}{context}")


class _Walk:
    """One pass over the nodes of a document; gathers values, marks and all problems."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self.marks: dict[Path, Mark] = {}
        self.key_marks: dict[Path, Mark] = {}
        self._file = file
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.marks[path] = _mark(node)
        if id(node) in self._seen:
            return self._problem(node, "aliases are not supported: write the value out")
        self._seen.add(id(node))
        match node:
            case yaml.MappingNode() if node.tag == _TAG + "map":
                return self._mapping(node, path)
            case yaml.SequenceNode() if node.tag == _TAG + "seq":
                return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node)
            case _:
                return self._problem(node, f"the tag {node.tag!r} is not supported")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != _TAG + "str":
                shown = "a structure" if key is None else repr(key[:_SHOWN_CHARS])
                self._problem(key_node, f"a key must be text (quote it), got {shown}")
                continue
            here = (*path, key)
            if key in result:
                first = self.key_marks[here].line
                shown = repr(key[:_SHOWN_CHARS])
                self._problem(key_node, f"the key {shown} stands here again, first in line {first}")
                continue
            self.key_marks[here] = _mark(key_node)
            result[key] = self.value(value_node, here)
        return result

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        value: Any = None
        match node.tag.removeprefix(_TAG):
            case "str" | "timestamp":
                value = text
            case "null":
                pass
            case "bool" if text.lower() in {"true", "false"}:
                value = text.lower() == "true"
            case "bool":
                what = f"write true or false for a switch, or quote {text!r} if it is text"
                self._problem(node, what)
            case "int" | "float" if len(text) > _MAX_DIGITS:
                self._problem(node, f"write a number with at most {_MAX_DIGITS} digits")
            case "int" if _INTEGER.fullmatch(text):
                value = int(text.replace("_", ""))
            case "float" if _DECIMAL.fullmatch(text):
                value = Decimal(text.replace("_", ""))
            case "int" | "float":
                what = f"write numbers in plain decimal such as 1000 or 0.25, got {text!r}"
                self._problem(node, what)
            case _:
                self._problem(node, f"the tag {node.tag!r} is not supported")
        return value

    def _problem(self, node: yaml.Node, what: str) -> None:
        self.problems.append(Problem(self._file, _mark(node), what))


def _mark(node: yaml.Node | yaml.Event) -> Mark:
    assert node.start_mark is not None, "the C parser marks everything"
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)
