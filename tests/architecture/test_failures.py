"""The page of failures keeps up with the tests that show them."""

from __future__ import annotations

import re

import pytest

from tests.architecture.house import ROOT, functions_in, tree_of

PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and " --- " not in line]


def names_of(file):
    return {f.name for f in functions_in(tree_of(ROOT / file)) if f.name.startswith("test_")}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_the_page_names_exists(file):
    assert [test for other, test in NAMED if other == file and test not in names_of(file)] == []


def test_every_failure_is_shown_by_a_test():
    told = [row for row in ROWS if not row.startswith(("| id |", "|---"))]
    assert told
    assert [row for row in told if "::test_" not in row] == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / "tests" / "chaos").glob("test_*.py")), ids=lambda path: path.name
)
def test_every_chaos_test_is_on_the_page(file):
    name = file.relative_to(ROOT).as_posix()
    assert [test for test in sorted(names_of(name)) if f"{name}::{test}`" not in PAGE] == []
