"""Imports go down: the contracts of pyproject.toml hold (also run by `make floors`)."""

from __future__ import annotations

import tomllib

from importlinter.api import read_configuration
from importlinter.cli import lint_imports

from tests.architecture.house import PACKAGE, ROOT

CONFIG = ROOT / "pyproject.toml"


def test_all_import_contracts_are_kept(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    broken = lint_imports(config_filename=str(CONFIG), cache_dir=None)
    assert broken == 0, capsys.readouterr().out


def test_every_room_below_the_planes_is_kept_from_waiting():
    contracts = read_configuration(str(CONFIG))["contracts_options"]
    layers = next(one for one in contracts if one["type"] == "layers")["layers"]
    pure = next(one for one in contracts if "nothing waits" in one["name"])["source_modules"]
    below = layers[layers.index("control") :]
    rooms = {f"gateway.{room.strip()}" for layer in below for room in layer.split("|")}
    assert set(pure) == rooms


def test_every_room_has_a_floor():
    contracts = tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one for one in contracts if one["type"] == "layers")
    assert layers["exhaustive"] is True
    rooms = {room.strip() for layer in layers["layers"] for room in layer.split("|")}
    present = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" and path.name != "__init__.py") or (path / "__init__.py").is_file()
    }
    assert present <= rooms
