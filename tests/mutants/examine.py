"""`python -m tests.mutants.examine`: which quick test finds each seeded defect of money's way?

Each runs in a copy of the package: first the simulator, then the tests of the rooms it is in.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.money_mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = "0:32"
AT_ONCE = 2
LIMIT_S = 150
# The quick tests that speak of money, of which those come first that are near the defect.
TESTS = (
    "tests/unit/proxy/test_settle.py",
    "tests/unit/proxy/test_admit.py",
    "tests/unit/admission",
    "tests/unit/adapters/outbox",
    "tests/unit/adapters/redis",
    "tests/unit/adapters/dynamodb/test_usage_table.py",
    "tests/unit/workers",
    "tests/unit/journal",
    "tests/unit/domain",
    "tests/conformance",
    "tests/spec",
)


def examine(number: int) -> str:
    """What found the defect; '' if nothing did. Raises: ValueError if the table is behind."""
    file, find, replace, _ = MUTANTS[number]
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        shutil.copytree(ROOT / "gateway", copy / "gateway")
        for name in ("tests", "config", "policies", "pyproject.toml", ".venvs"):
            (copy / name).symlink_to(ROOT / name)
        path = copy / "gateway" / file
        text = path.read_text()
        if text.count(find) != 1:
            raise ValueError(f"mutant {number}: {file} has {text.count(find)} of {find!r}")
        path.write_text(text.replace(find, replace))
        if not _passes(copy, "-m", "tests.simulation.run", SEEDS):
            return "simulation"
        for tests in TESTS:
            if not _passes(copy, "-m", "pytest", "-qx", "-p", "no:cacheprovider", tests):
                return tests
    return ""


def _passes(copy: Path, *command: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=copy, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False  # it never comes to rest
    return done.returncode == 0


def main(numbers: list[int]) -> int:
    """Prints a row each; the exit code says whether at least 95 % were found."""
    found = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, by in zip(numbers, pool.map(examine, numbers), strict=True):
            file, _, _, what = MUTANTS[number]
            found += bool(by)
            print(f"| {number} | `{file}` | {what} | {by or '**nothing**'} |", flush=True)  # noqa: T201 - its report
    print(f"{found} of {len(numbers)} found")  # noqa: T201 - its report
    return 0 if found >= 0.95 * len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main([int(n) for n in sys.argv[1:]] or [*range(len(MUTANTS))]))
