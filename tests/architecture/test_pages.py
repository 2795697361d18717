"""What the pages name is there: files, links between pages, commands and their options."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from gateway.cli.main import app
from tests.architecture.house import PACKAGE, ROOT, name_of

PAGES = [ROOT / "README.md", ROOT / "policies" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
OPERATIONS = ROOT / "docs" / "operations.md"
COMMANDS = get_command(app)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"```sh\n(?P<block>.*?)```|`(?P<span>[^`\n]+)`", re.DOTALL)
NAMED = re.compile(r"`((?:proxy|domain|compose|workers|admission|policy|pricing|bedrock|control|"
                   r"adapters|metering|journal|authn|admin)/[\w/]+(?:\.\w+)?)`")  # fmt: skip
UNSTATED = re.compile(r"[|…\[\]]|^[A-Z]+$")


def commands_in(text, *, is_short=False):
    """The commands of the gateway that a page shows, as lists of words.

    `is_short`: also those that leave out whose they are, as `journal status`.
    """
    for found in CODE.finditer(text):
        code = found["span"] or found["block"].replace("\\\n", " ")
        for line in code.splitlines():
            before, _, named = line.strip().rpartition("bedrock-gateway ")
            words = words_of(named)
            is_known = is_short and len(words) > 1 and words[0] in COMMANDS.commands
            if before or line.strip().startswith("bedrock-gateway ") or is_known:
                yield words


def words_of(line):
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a sentence with an apostrophe
        return line.split()


def flaw_of(words):
    """What is wrong with a command; None if it could be typed."""
    here, at = COMMANDS, 0
    while isinstance(here, TyperGroup) and at < len(words) and not UNSTATED.search(words[at]):
        if words[at].startswith("-"):
            break
        if words[at] not in here.commands:
            return f"there is no {words[at]!r}"
        here, at = here.commands[words[at]], at + 1
    if isinstance(here, TyperGroup):
        return None
    known = {option for parameter in here.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in words[at:] if re.match(r"--\w", word)]
    unknown = [word for word in unknown if word.partition("=")[0].rstrip("]") not in known]
    return f"no option {unknown}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file(page):
    local = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_can_be_typed(page):
    shown = commands_in(page.read_text(), is_short=page == OPERATIONS)
    flaws = [(shlex.join(words), flaw_of(words)) for words in shown]
    assert [flaw for flaw in flaws if flaw[1]] == []


def test_a_command_that_is_not_there_would_be_found():
    text = "`journal frobnicate`\n```sh\n.venv/bin/bedrock-gateway emergency stop --why x\n```"
    first, second = commands_in(text, is_short=True)
    assert "frobnicate" in flaw_of(first)
    assert "--why" in flaw_of(second)


def test_every_module_on_the_way_of_a_request_is_there():
    named = NAMED.findall((ROOT / "docs" / "life-of-a-request.md").read_text())
    assert len(named) > 20
    missing = [
        name
        for name in named
        if not any((PACKAGE / (name + suffix)).exists() for suffix in ("", ".py"))
    ]
    assert missing == []


def test_operators_find_every_group_of_commands_that_looks_after_a_running_gateway():
    shown = {words[0] for words in commands_in(OPERATIONS.read_text(), is_short=True)}
    assert {"emergency", "budget", "audit", "policy", "journal", "key", "config"} <= shown
