"""Policy files as a hurried hand leaves them: one edit of a good text, mostly a bad one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

POLICIES = Path(__file__).resolve().parents[2] / "policies"
VALUES = (
    "", "~", "null", "yes", "on", "true", "-1", "0", "0x10", "010", "1:30", "1e99", ".inf", ".nan",
    "9" * 400, "9" * 5000, "0." + "1" * 60, "1" * 30 + ".5", "[]", "{}", "[[]]", "{a: {b: c}}",
    "'", '"', "*a", "&a b", "!!python/object:x y", "!tag v", "2026-01-01", "2026-99-99",
    "a" * 500, "ü", "\u2028", "\x00", "\ufeff", "- ", ": ", "? ", "|", ">", "#", "%", "@", "`",
    "org/acme/team/web/user/ada", "team/", "/", "user/ada", "platform", "org", "org/other",
    "team/web/feature/x", "Europe/Berlin", "../../etc/passwd", "80%", "101%", "4000 USD", "24h",
    "us.anthropic.*", "*", "[*]", "hard", "month",
)  # fmt: skip
"""What may stand where something else was meant."""


def shipped_policies() -> dict[str, str]:
    """The policies that ship, and the examples, by name."""
    paths = [*POLICIES.glob("*.yaml"), *(POLICIES / "examples").glob("*.yaml")]
    return {path.name: path.read_text() for path in paths if ".cases" not in path.name}


def broken_edits(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """So many edited files, each with its name; the same for the same seed."""
    dice = random.Random(seed)
    texts = shipped_policies()
    for number in range(count):
        name = dice.choice(sorted(texts))
        text = texts[name]
        for _ in range(1 + (number % 5 == 0)):
            text = dice.choice(_EDITS)(text, dice)
        yield name, text


def _drop_characters(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + text[at + dice.randrange(1, 12) :]


def _insert(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return (
        text[:at]
        + dice.choice([*VALUES, "\t", "\n", "  ", "{", "}", "[", "]", ",", ":"])
        + text[at:]
    )


def _swap_characters(text: str, dice: random.Random) -> str:
    at = dice.randrange(max(1, len(text) - 1))
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _cut(text: str, dice: random.Random) -> str:
    return text[: dice.randrange(len(text) + 1)]


def _drop_line(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[dice.randrange(len(lines))]
    return "".join(lines)


def _repeat_line(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    at = dice.randrange(len(lines) or 1)
    return "".join([*lines[:at], *lines[at : at + 1] * 2, *lines[at + 1 :]])


def _indent_line(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        at = dice.randrange(len(lines))
        lines[at] = dice.choice(["  ", " ", "\t", "    "]) + lines[at]
    return "".join(lines)


def _misspell_key(text: str, dice: random.Random) -> str:
    keys = list(re.finditer(r"[a-z_]+(?=:)", text))
    if not keys:
        return text
    key = dice.choice(keys)
    at = dice.randrange(key.start(), key.end())
    return text[:at] + dice.choice("aeiouxyz_-A1") + text[at + 1 :]


def _other_value(text: str, dice: random.Random) -> str:
    values = list(re.finditer(r"(?<=: )[^,{}\[\]\n#]+|(?<=[\[,] )[^,\]\n]+", text))
    if not values:
        return text
    value = dice.choice(values)
    return text[: value.start()] + dice.choice(VALUES) + text[value.end() :]


def _move_value(text: str, dice: random.Random) -> str:
    """The value of one key stands at another."""
    values = list(re.finditer(r"(?<=: )[^,{}\n#]+", text))
    if not values:
        return text
    value, other = dice.choice(values), dice.choice(values)
    return text[: value.start()] + other[0] + text[value.end() :]


_EDITS: tuple[Callable[[str, random.Random], str], ...] = (
    _drop_characters, _insert, _swap_characters, _cut, _drop_line, _repeat_line, _indent_line,
    _misspell_key, _other_value, _other_value, _move_value, _move_value,
)  # fmt: skip
