"""Time, chance, the environment and dangerous calls are reached in the few places named here."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tests.architecture.house import dotted, imported_names, modules, name_of, tree_of


@dataclass(frozen=True)
class Ban:
    """Names that may be used only in files whose path begins with one of `allowed`."""

    why: str
    names: tuple[str, ...]
    allowed: tuple[str, ...] = ()


BANS = (
    Ban(
        "the time comes from the Clock port",
        (
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "datetime.datetime.today",
            "datetime.date.today",
            "time.time",
            "time.time_ns",
            "time.monotonic",
            "time.monotonic_ns",
            "time.perf_counter",
            "time.sleep",
        ),
        ("gateway/adapters/system.py", "gateway/sandbox/", "gateway/cli/"),
    ),
    Ban(
        "chance comes from ports",
        ("uuid.uuid1", "uuid.uuid4", "random", "secrets", "os.urandom"),
        # Jitter in a worker or adapter, keys made for a person: not in rules, not on the path.
        (
            "gateway/adapters/",
            "gateway/workers/",
            "gateway/compose/",
            "gateway/sandbox/",
            "gateway/cli/",
        ),
    ),
    Ban(
        "the environment is read once, at the top",
        ("os.environ", "os.getenv", "os.environb"),
        ("gateway/cli/", "gateway/compose/", "gateway/sandbox/"),
    ),
    Ban(
        "people are talked to by the command line",
        ("print", "input", "sys.stdout", "sys.stderr"),
        (
            "gateway/cli/",
            "gateway/adapters/telemetry/logs.py",
            "gateway/sandbox/bedrock/process.py",
        ),
    ),
    Ban(
        "no text becomes code, no bytes become objects",
        (
            "eval",
            "exec",
            "compile",
            "__import__",
            "importlib.import_module",
            "pickle",
            "marshal",
            "shelve",
            "os.system",
            "os.popen",
            "yaml.load",
            "yaml.unsafe_load",
            "yaml.full_load",
        ),
    ),
    Ban(
        "no processes besides our own workers and the sandbox's servers",
        (
            "subprocess",
            "os.fork",
            "os.execv",
            "os.execve",
            "os.spawnv",
            "pty",
            "asyncio.create_subprocess_shell",
            "asyncio.create_subprocess_exec",
        ),
        ("gateway/sandbox/", "gateway/workers/supervisor.py"),
    ),
    Ban("a broken digest proves nothing", ("hashlib.md5", "hashlib.sha1")),
)


def uses(path):
    """Every dotted name that the module imports and uses, and every builtin that it calls."""
    tree = tree_of(path)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in names:
                yield node.func.id, node.lineno
        elif isinstance(node, ast.Attribute | ast.Name):
            full = dotted(node, names)
            if full is not None and root_of(node).id in names:
                yield full, node.lineno


def root_of(node):
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def is_banned(name: str, ban: Ban) -> bool:
    return any(name == banned or name.startswith(banned + ".") for banned in ban.names)


def test_banned_names_are_used_in_their_place_only():
    found = [
        f"{name_of(path)}:{line} uses {name}: {ban.why}"
        for path in modules()
        for name, line in uses(path)
        for ban in BANS
        if is_banned(name, ban) and not name_of(path).startswith(ban.allowed)
    ]
    assert found == []


def test_the_scan_sees_through_import_aliases():
    names = imported_names(ast.parse("from time import time as now\nimport datetime as d"))
    assert dotted(ast.parse("now", mode="eval").body, names) == "time.time"
    call = ast.parse("d.datetime.now", mode="eval").body
    assert dotted(call, names) == "datetime.datetime.now"
