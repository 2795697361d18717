"""The documents keep up with the code: reasons, settings, invariants, dependencies, policies."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gateway.documents.checked import check_document
from gateway.documents.marked_yaml import read_marked_yaml
from gateway.domain.reason import Reason
from gateway.policy.document import LimitRule, PolicyDocument
from gateway.policy.parse import parse_policies
from gateway.settings import Settings, load_settings
from tests.architecture.house import PACKAGE, ROOT, functions_in, name_of, tree_of

DOCS = ROOT / "docs"
ROW = re.compile(r"^\| (I\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FEATURE = re.compile(r"\b(?:EN|AL|PO|MT|PX|TR|IF|DP|AN)-\d+\b")


def invariants() -> dict[str, str]:
    """Each law's number, and the cell that says which tests hold it."""
    return {number: cell for number, _, cell in ROW.findall((DOCS / "invariants.md").read_text())}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason):
    assert f"`{reason.value}`" in (DOCS / "reasons.md").read_text()


def test_no_reason_is_explained_that_does_not_exist():
    first_cells = re.findall(r"^\| `([a-z_]+)` \|", (DOCS / "reasons.md").read_text(), re.MULTILINE)
    assert set(first_cells) <= {reason.value for reason in Reason}


def test_the_settings_file_and_its_page_say_what_the_code_says():
    script = ROOT / "scripts" / "settings-files"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run scripts/settings-files"


def test_the_shipped_settings_file_is_valid_as_it_is_and_with_its_comments_taken_off():
    file = ROOT / "config" / "gateway.yaml"
    assert load_settings({}, file) == load_settings({})
    lines = file.read_text().splitlines()
    keys = [line[2:] for line in lines if re.match(r"# [a-z_0-9]+:( |$)", line)]
    document = read_marked_yaml("\n".join(keys), "gateway.yaml")
    assert set(document.value) == set(Settings.model_fields)
    assert check_document(document, Settings).listen == Settings().listen


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_setting_is_used_somewhere(key):
    own = {PACKAGE / "settings.py", PACKAGE / "setting_types.py"}
    users = [path for path in PACKAGE.rglob("*.py") if path not in own]
    word = re.compile(rf"\.{key}\b|['\"]{key}['\"]|GATEWAY_{key.upper()}\b")
    assert any(word.search(path.read_text()) for path in users), f"{key} does nothing"


def test_the_invariants_are_numbered_without_gap():
    assert list(invariants()) == [f"I{number}" for number in range(1, 16)]


@pytest.mark.parametrize("number", [f"I{number}" for number in range(1, 16)])
def test_every_invariant_names_a_test_that_exists_or_the_feature_it_comes_with(number):
    cell = invariants()[number]
    named = TEST_NAME.findall(cell)
    assert named or FEATURE.search(cell), f"{number} is held by nothing"
    for file, test in named:
        path = ROOT / file
        assert path.is_file(), f"{number}: no {file}"
        assert test in {function.name for function in functions_in(tree_of(path))}, (
            f"{number}: no {test} in {file}"
        )


def test_the_policies_that_ship_and_the_examples_of_their_page_are_valid():
    shipped = {name_of(path): path.read_text() for path in (ROOT / "policies").glob("*.yaml")}
    assert parse_policies(shipped).orgs
    page = (ROOT / "policies" / "README.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert parse_policies({"README.md": example}).orgs


@pytest.mark.parametrize("key", [*PolicyDocument.model_fields, *LimitRule.model_fields])
def test_every_key_of_a_policy_is_explained(key):
    page = (ROOT / "policies" / "README.md").read_text()
    short = key.removeprefix("requests_per")  # written once for second, minute and hour
    assert f"`{key}" in page or f".{key}`" in page or f"`{short}`" in page


def test_decisions_are_numbered_and_have_the_same_parts():
    records = sorted((DOCS / "adr").glob("*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04d}" for n in range(1, len(records) + 1)]
    for path in records:
        text = path.read_text()
        for part in ("## Question", "## Decision", "## Why", "## Consequences"):
            assert part in text, f"{path.name} has no {part!r}"
