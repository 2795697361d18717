"""Typed reading of a body's fields, with errors that say where and what was expected.

`null` reads as absent: whether it is allowed is upstream's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.bedrock.strict_json import malformed

_MAX_COUNT = 2**31 - 1


def optional_object(node: dict[str, Any], key: str, where: str) -> dict[str, Any] | None:
    """The object under the key, None if absent. Raises: GatewayError(MALFORMED_BODY)."""
    value = node.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise malformed(f"{where}/{key}", "an object", value)


def objects(node: dict[str, Any], key: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of the array under the key, each with its pointer; nothing if absent."""
    value = node.get(key)
    if value is None:
        return
    if not isinstance(value, list):
        raise malformed(f"{where}/{key}", "an array", value)
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise malformed(f"{where}/{key}/{index}", "an object", item)
        yield f"{where}/{key}/{index}", item


def optional_text(node: dict[str, Any], key: str, where: str) -> str | None:
    """The string under the key, None if absent. Raises: GatewayError(MALFORMED_BODY)."""
    value = node.get(key)
    if value is None or isinstance(value, str):
        return value
    raise malformed(f"{where}/{key}", "a string", value)


def optional_count(node: dict[str, Any], key: str, where: str, *, least: int = 1) -> int | None:
    """The whole number under the key, None if absent.

    Raises: GatewayError(MALFORMED_BODY) for text, fractions, and numbers below `least`: what a
    limit says must not depend on who reads it.
    """
    value = node.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"{where}/{key}", f"an integer from {least} up", value)
    if not least <= value <= _MAX_COUNT:
        raise malformed(f"{where}/{key}", f"an integer from {least} to {_MAX_COUNT}")
    return value


def count_at(body: dict[str, Any], path: tuple[str, ...]) -> int | None:
    """The whole number at a path of keys, None if the path does not exist."""
    node: dict[str, Any] = body
    where = ""
    for key in path[:-1]:
        inner = optional_object(node, key, where)
        if inner is None:
            return None
        node, where = inner, f"{where}/{key}"
    return optional_count(node, path[-1], where)


def largest_limit(body: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> int | None:
    """The largest limit any of the paths states: which one upstream obeys is no bet of ours."""
    found = [limit for path in paths if (limit := count_at(body, path)) is not None]
    return max(found, default=None)
