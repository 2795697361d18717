"""A document held against its grammar (a pydantic model); errors in the file's own coordinates."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.documents.marked_yaml import DocumentError, MarkedDocument, Path, Problem

_SHOWN_CHARS = 80
_MOST_PROBLEMS = 200

Grammar = TypeVar("Grammar", bound=BaseModel)


def check_document(
    document: MarkedDocument, grammar: type[Grammar], *, hidden: Collection[str] = ()
) -> Grammar:
    """The document as the grammar's value.

    `hidden`: top-level keys whose values never appear in an error.
    Raises: DocumentError with every problem: its line, its column, and what was expected there.
    """
    if not isinstance(document.value, dict):
        raise DocumentError.at_top(document.file, "expected a mapping of keys to values")
    try:
        return grammar.model_validate(document.value)
    except ValidationError as exc:
        details = exc.errors(include_url=False)
        found = {_problem(document, grammar, each, hidden) for each in details[:_MOST_PROBLEMS]}
        if len(details) > _MOST_PROBLEMS:
            last = _path_in(document.value, details[_MOST_PROBLEMS]["loc"])
            what = f"and {len(details) - _MOST_PROBLEMS} more problems from here on"
            found.add(document.problem(last, what))
    # Not chained: pydantic's own text repeats the input, secrets included.
    raise DocumentError(found)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to tell somebody who wrote an unknown name: the nearest known one, or all of them."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of: {', '.join(candidates)}"


def _problem(
    document: MarkedDocument,
    grammar: type[BaseModel],
    detail: ErrorDetails,
    hidden: Collection[str],
) -> Problem:
    path = _path_in(document.value, detail["loc"])
    key = path[-1] if path else ""
    shown_key = repr(key[:_SHOWN_CHARS]) if isinstance(key, str) else repr(key)
    shown = "a secret" if path and path[0] in hidden else _shown(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            hint = nearest(str(key)[:_SHOWN_CHARS], _keys_at(grammar, path[:-1]))
            what = f"unknown key {shown_key}: {hint}"
            return Problem(document.file, document.key_mark(path), what)
        case "missing":
            return document.problem(path, f"the key {detail['loc'][-1]!r} is missing")
        case "value_error" | "assertion_error":
            what = str(detail["ctx"]["error"])
        case "enum" | "literal_error":
            what = f"expected {detail['ctx']['expected']}, got {shown}"
        case "model_type" | "dict_type":
            what = f"expected a mapping of keys to values, got {shown}"
        case "too_long":
            bounds = detail["ctx"]
            what = f"expected at most {bounds['max_length']} items, got {bounds['actual_length']}"
        case "tuple_type" | "list_type":
            what = f"expected a list, got {shown}"
        case "string_type":
            what = f"expected text (a name made of digits stands in quotes), got {shown}"
        case _:
            what = f"{_lower_first(detail['msg'])}, got {shown}"
    if detail["loc"][-1:] == ("[key]",):  # the key itself is wrong, not what stands under it
        return Problem(document.file, document.key_mark(path), what)
    where = f"{key[:_SHOWN_CHARS]}: " if isinstance(key, str) and key else ""
    return document.problem(path, where + what)


def _path_in(value: Any, loc: tuple[str | int, ...]) -> Path:
    """The part of pydantic's location that exists in the document (it adds its own steps)."""
    path: list[str | int] = []
    for step in loc:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        path.append(step)
    return tuple(path)


def _keys_at(grammar: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that the grammar knows at a place of the document."""
    places: list[Any] = [grammar]
    for step in path:
        places = [inner for place in places for inner in _inside(place, step)]
    models = [model for place in places for model in _models_in(place)]
    return tuple(
        field.alias or name for model in models for name, field in model.model_fields.items()
    )


def _inside(annotation: Any, step: str | int) -> list[Any]:
    """The types that may stand one step below a type."""
    if _is_model(annotation):
        fields = annotation.model_fields.items()
        return [field.annotation for name, field in fields if step in (name, field.alias)]
    parts = get_args(annotation)
    if get_origin(annotation) in {dict, list, tuple, Mapping, Sequence}:
        return list(parts)
    return [inner for part in parts for inner in _inside(part, step)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if _is_model(annotation):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str | int | Decimal):
        text = repr(str(value) if isinstance(value, Decimal) else value)
        return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    return "a mapping" if isinstance(value, dict) else "a list"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
