"""No module remembers anything: state belongs to objects that somebody made and owns."""

from __future__ import annotations

import ast

from tests.architecture.house import dotted, imported_names, modules, name_of, tree_of

MUTABLE_LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {
    "list", "dict", "set", "bytearray",
    "collections.defaultdict", "collections.deque", "collections.Counter",
    "collections.OrderedDict", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary",
    "itertools.count", "asyncio.Queue", "asyncio.Lock", "asyncio.Event", "asyncio.Semaphore",
    "threading.Lock", "threading.local", "contextvars.ContextVar",
}  # fmt: skip
MUTATING_METHODS = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip


def module_level_values(tree):
    """Names assigned at module level, with the value."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value, node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value, node.lineno


def mutated_names(tree):
    """Names whose content the module changes somewhere: x[k] = v, x.append(v), x += …, del x[k]."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        elif isinstance(node, ast.AugAssign):
            target = node.target
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATING_METHODS
        ):
            target = node.func.value
        else:
            continue
        if isinstance(target, ast.Name):
            yield target.id


def mutable_state(path):
    """What a module would remember, as findings."""
    tree = tree_of(path)
    names = imported_names(tree)
    mutated = set(mutated_names(tree))
    for name, value, line in module_level_values(tree):
        if isinstance(value, ast.Call) and dotted(value.func, names) in MUTABLE_TYPES:
            yield f"{name_of(path)}:{line}: {name} is a mutable object of the module"
        if isinstance(value, MUTABLE_LITERALS) and (
            name in mutated or (name != name.upper() and name != "__all__")
        ):
            yield f"{name_of(path)}:{line}: {name} is changed, or not named as a constant"


def test_no_module_keeps_mutable_state():
    assert [finding for path in modules() for finding in mutable_state(path)] == []


def test_no_function_rebinds_a_name_of_its_module():
    rebound = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Global)
    ]
    assert rebound == []


def unbounded_memories(path):
    tree = tree_of(path)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node, names) == "functools.cache":
            yield f"{name_of(path)}:{node.lineno}"


def test_nothing_is_remembered_without_bound():
    assert [finding for path in modules() for finding in unbounded_memories(path)] == []


def test_the_check_finds_what_it_looks_for(tmp_path, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text(
        "from collections import deque\n_SEEN = deque()\n_KNOWN = {}\ncache = []\n"
        "TABLE = {'a': 1}\n\ndef remember(key):\n    _KNOWN[key] = TABLE[key]\n"
    )
    monkeypatch.setattr("tests.architecture.house.ROOT", tmp_path)
    assert [finding.split(": ", 1)[1] for finding in mutable_state(module)] == [
        "_SEEN is a mutable object of the module",
        "_KNOWN is changed, or not named as a constant",
        "cache is changed, or not named as a constant",
    ]
