"""What npm installs for tests/clients is pinned too, and names no registry."""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent / "claude_code"


def test_claude_code_is_pinned_with_hashes_and_without_an_address():
    lock = json.loads((HERE / "package-lock.json").read_text("utf-8"))
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert packages
    for name, row in packages.items():
        assert row["integrity"].startswith("sha512-"), name
        assert "resolved" not in row, name
    assert "http" not in json.dumps(lock)


def test_the_lock_is_of_what_is_asked_for():
    asked = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    lock = json.loads((HERE / "package-lock.json").read_text("utf-8"))
    assert lock["packages"][""]["dependencies"] == asked
    (version,) = asked.values()
    assert {row["version"] for name, row in lock["packages"].items() if name} == {version}
