"""Nothing is left lying around: stubs, paths of a machine, exceptions without a why, mocks."""

from __future__ import annotations

import re

from tests.architecture.house import ROOT, modules, name_of

SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".lua", ".in", ".ledger", ""}
FOLDERS = ("gateway", "tests", "scripts", "docs", "config", "policies", ".ci", "requirements")
# Put together here, so that this file does not hold what it looks for.
LOOSE = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "raise NotImpl" + "emented")))
MACHINE = re.compile(
    "|".join(
        (
            r"(?:^|[^\w.])/(?:" + "|".join(("wo" + "rk", "fa" + "rm")) + r")/\w",
            r"/(?:ho" + r"me|Us" + r"ers)/[a-z]\w*/",
            r"\.\./sha" + r"red/",
        )
    )
)
EXCEPTION = re.compile(
    r"#\s*(?:type:\s*ignore|noqa)(?P<codes>\[[^\]]+\]|:\s*[A-Z0-9, ]+)?(?P<why>.*)"
)


def texts():
    """Every text file of the repository that people write."""
    tops = [path for path in ROOT.iterdir() if path.is_file() and path.name != "LICENSE"]
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted(tops + below):
        if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
            yield path


def python_tests():
    return sorted((ROOT / "tests").rglob("*.py"))


def lines_matching(path, pattern):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{name_of(path)}:{at}: {text.strip()}" for at, text in enumerate(lines, 1)
            if pattern.search(text)]  # fmt: skip


def test_nothing_is_a_stub():
    found = [line for path in [*modules(), *python_tests()] for line in lines_matching(path, LOOSE)]
    assert found == []


def test_no_file_names_a_path_of_somebodys_machine():
    assert [line for path in texts() for line in lines_matching(path, MACHINE)] == []


def test_every_exception_from_a_tool_says_which_and_why():
    unexplained = [
        f"{name_of(path)}:{at}: {line.strip()}"
        for path in modules()
        for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := EXCEPTION.search(line)) is not None
        and not (match["codes"] and re.search(r"\w{2}", match["why"]))
    ]
    assert unexplained == []


def test_no_test_sleeps():
    sleep = re.compile(r"time\.sleep\(|asyncio\.sleep\([1-9]")
    found = [line for path in python_tests() for line in lines_matching(path, sleep)]
    assert [line for line in found if name_of(ROOT / "tests/architecture") not in line] == []


def test_no_unit_test_needs_a_mock():
    mock = re.compile(r"unittest\.mock|\bMagicMock\b|\bMock\(|mocker\b")
    unit = (ROOT / "tests" / "unit").rglob("*.py")
    assert [line for path in unit for line in lines_matching(path, mock)] == []


def test_no_test_is_skipped_or_expected_to_fail():
    skip = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b")
    found = [line for path in python_tests() for line in lines_matching(path, skip)]
    assert [line for line in found if name_of(ROOT / "tests/architecture") not in line] == []
