"""`python -m tests.mutants.examine`: which quick test finds each seeded defect of money's way?

Each runs in a copy of the package, against the simulator and against the tests of its own room.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.money_mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = "0:24"
AT_ONCE = 2
LEAST = 0.95
LIMIT_S = 240


def examine(number: int) -> tuple[str, str]:
    """What the simulator and its own test say. Raises: ValueError if the table is behind."""
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
        own = Path("tests/unit") / Path(file).with_name(f"test_{Path(file).name}")
        return (
            _verdict(copy, "-m", "tests.simulation.run", SEEDS),
            _verdict(copy, "-m", "pytest", "-qx", "-p", "no:cacheprovider", str(own)),
        )


def _verdict(copy: Path, *command: str) -> str:
    """`found`, `never rests` (found, too), or nothing."""
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=copy,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return "never rests"
    if done.returncode == 0:
        return ""
    law = re.search(r"^seed (\d+), step \d+: (I\d+)?", done.stdout, re.MULTILINE)
    return f"seed {law[1]} {law[2] or ''}".strip() if law else "found"


def main(numbers: list[int]) -> int:
    """Prints a row each; the exit code says whether at least 95 % were found."""
    found = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, verdicts in zip(numbers, pool.map(examine, numbers), strict=True):
            file, _, _, what = MUTANTS[number]
            found += any(verdicts)
            cells = " | ".join(verdict or "no" for verdict in verdicts)
            mark = "" if any(verdicts) else " **not found**"
            print(f"| {number} | `{file}` | {what}{mark} | {cells} |", flush=True)  # noqa: T201 - its report
    print(f"{found} of {len(numbers)} found")  # noqa: T201 - its report
    return 0 if found >= LEAST * len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main([int(n) for n in sys.argv[1:]] or [*range(len(MUTANTS))]))
