"""Rooms stay small enough to be read in one go."""

from __future__ import annotations

from tests.architecture.house import functions_in, modules, name_of, tree_of

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 70


def test_a_file_has_at_most_300_lines():
    """A longer one answers two questions."""
    lines = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in modules()}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_a_function_has_at_most_70_lines():
    lines = {
        f"{name_of(path)}: {function.name}": function.end_lineno - function.lineno + 1
        for path in modules()
        for function in functions_in(tree_of(path))
    }
    assert {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES} == {}


def test_no_room_has_a_name_that_says_nothing():
    empty_names = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [name_of(path) for path in modules() if path.stem in empty_names] == []
    assert [name_of(path.parent) for path in modules() if path.parent.name in empty_names] == []
