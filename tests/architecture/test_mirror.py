"""The unit tests mirror the package: who knows the module knows where its test is."""

from __future__ import annotations

import pytest

from tests.architecture.house import (
    PACKAGE,
    ROOT,
    does_something,
    functions_in,
    modules,
    name_of,
    tree_of,
)

TESTED_ELSEWHERE = {
    "gateway/__main__.py": "hands over to the command line: tests/unit/cli",
}


def does_nothing(path):
    """Whether the module only declares (values, ports): there is nothing to run."""
    return not any(does_something(function) for function in functions_in(tree_of(path)))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_that_does_something_has_its_own_unit_test(path):
    if name_of(path) in TESTED_ELSEWHERE or does_nothing(path):
        return
    inside = path.relative_to(PACKAGE)
    stem = inside.parent.name if inside.name == "__init__.py" else inside.stem
    mirror = ROOT / "tests" / "unit" / inside.parent / f"test_{stem}.py"
    assert mirror.is_file(), f"{name_of(path)} has no {name_of(mirror)}"
    assert any(f.name.startswith("test_") for f in functions_in(tree_of(mirror)))


def test_every_unit_test_belongs_to_a_module():
    unit = ROOT / "tests" / "unit"
    orphans = []
    for test in unit.rglob("test_*.py"):
        inside = test.relative_to(unit)
        module = PACKAGE / inside.parent / (inside.stem.removeprefix("test_") + ".py")
        package = PACKAGE / inside.parent / "__init__.py"
        of_package = inside.stem == f"test_{inside.parent.name}" and package.is_file()
        if not module.is_file() and not of_package:
            orphans.append(name_of(test))
    assert orphans == []


def test_exceptions_from_the_mirror_still_exist():
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / name).is_file()] == []
