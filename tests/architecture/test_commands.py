"""The two commands of the README, the check from nothing, and the rule that nothing is skipped."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.architecture.house import ROOT

pytest_plugins = ["pytester"]

MAKEFILE = (ROOT / "Makefile").read_text()


def test_make_knows_what_the_readme_promises():
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert {"demo", "test", "check", "bench", "clean", "lock"} <= targets


def test_every_path_that_make_names_exists():
    for path in re.findall(r"\b((?:scripts|requirements|tests)/[\w./-]+\w)(?![\w%*-])", MAKEFILE):
        assert (ROOT / path).exists(), path


def test_the_check_from_nothing_runs_the_static_checks_and_ends_with_the_tests():
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-2:] == ["make format lint types floors", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "--exclude=./.venv" in script


def test_setup_says_clearly_that_python_is_too_old(tmp_path):
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "setup", tmp_path / "environment", "requirements/runtime.txt"],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not Python 3.11 or newer" in done.stderr
    assert not (tmp_path / "environment").exists()


@pytest.fixture
def run(pytester):
    """Runs a test file as `make test` would, in this process."""

    def go(text):
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
        pytester.makepyfile(text)
        return pytester.runpytest("-p", "tests.plugins.no_skips", "-p", "no:randomly")

    return go


def test_a_run_without_skips_passes(run):
    result = run("def test_fine(): pass")
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_a_run_with_a_skipped_test_fails_and_says_which_and_why(run):
    result = run("import pytest\ndef test_fine(): pass\ndef test_not(): pytest.skip('no time')\n")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*skipped tests fail this run*", "*test_not: *no time*"])


def test_a_run_with_a_skipped_file_fails(run):
    result = run("import pytest\npytest.skip('not here', allow_module_level=True)\n")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*skipped tests fail this run*"])
