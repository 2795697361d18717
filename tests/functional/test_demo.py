"""The first of the README's two commands, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.timeout(180)
def test_the_demo_shows_its_books_its_rules_its_stop_and_its_record_and_all_is_as_it_should_be():
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--once"],
        env={**os.environ, "GATEWAY_WORKERS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "The books agree" in done.stdout
    for shown in ("limit_usd: 0.50", "emergency stop", "emergency restore", "audit verify"):
        assert shown in done.stdout.partition("While it serves:")[2]
    assert "NOT AS IT SHOULD BE" not in done.stdout
