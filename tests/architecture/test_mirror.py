"""The unit tests mirror the package: who knows the module knows where its test is."""

from __future__ import annotations

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
    "gateway/compose/": "introduces parts to one another: run whole by tests/functional",
}


def does_nothing(path):
    """Whether the module only declares (values, ports): there is nothing to run."""
    return not any(does_something(function) for function in functions_in(tree_of(path)))


def mirror_of(path):
    """Where the unit test of a module is; a package's own is named like the package."""
    inside = path.relative_to(PACKAGE)
    stem = inside.parent.name if inside.name == "__init__.py" else inside.stem
    return ROOT / "tests" / "unit" / inside.parent / f"test_{stem}.py"


def test_every_module_that_does_something_has_its_own_unit_test():
    missing = [
        f"{name_of(path)}: {name_of(mirror_of(path))}"
        for path in modules()
        if not name_of(path).startswith(tuple(TESTED_ELSEWHERE))
        and not does_nothing(path)
        and not mirror_of(path).is_file()
    ]
    assert missing == [], "\n".join(["without a unit test:", *missing])


def test_every_unit_test_file_holds_a_test():
    unit = (ROOT / "tests" / "unit").rglob("test_*.py")
    empty = [
        name_of(path)
        for path in unit
        if not any(f.name.startswith("test_") for f in functions_in(tree_of(path)))
    ]
    assert empty == []


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
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()] == []
