"""Rooms stay small enough to be read in one go."""

from __future__ import annotations

import pytest

from tests.architecture.house import functions_in, modules, name_of, tree_of

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 70


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_file_has_at_most_300_lines_and_a_function_at_most_70(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_FILE_LINES, f"{name_of(path)} has {lines} lines: it answers two questions"
    long = [
        f"{function.name} ({function.end_lineno - function.lineno + 1} lines)"
        for function in functions_in(tree_of(path))
        if function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_room_has_a_name_that_says_nothing():
    empty_names = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [name_of(path) for path in modules() if path.stem in empty_names] == []
    assert [name_of(path.parent) for path in modules() if path.parent.name in empty_names] == []
