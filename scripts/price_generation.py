"""Makes config/prices.yaml and config/models.yaml from the pinned price package and our own notes.

Reads `genai_prices` (provider `aws`), scripts/price_supplement.yaml and
scripts/model_supplement.yaml; no network. The same inputs give the same bytes, so that a change of
a price is a line of a diff. `--check` writes nothing and fails if the files are not what would be
written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "genai-prices"
PACKAGE_VERSION = "0.2.3"
PACKAGE_SEEN = date(2026, 11, 21)
SOURCE = "genai"
TOKEN_CLASSES = {
    "input": ("input_mtok", "input_audio_mtok"),
    "output": ("output_mtok", "output_audio_mtok"),
    "cache_read": ("cache_read_mtok",),
    "cache_write_5m": ("cache_write_mtok",),
    "cache_write_1h": ("cache_write_1h_mtok",),
}
"""Our token classes and the package's keys; of several (text, speech) the dearest is kept."""
ROW_KEYS = (
    "tier", "scope", "regions", "from", *TOKEN_CLASSES, "above", "units", "per_call", "source",
    "seen",
)  # fmt: skip

Row = dict[str, Any]


def package_rows(renamed: Mapping[str, str]) -> dict[str, list[Row]]:
    """The package's Bedrock prices as rows of our grammar, by model id."""
    found = version(PACKAGE)
    if found != PACKAGE_VERSION:
        raise SystemExit(f"{PACKAGE} {PACKAGE_VERSION} is pinned for this, found {found}")
    providers = data_snapshot.get_snapshot().providers
    models = next(provider for provider in providers if provider.id == "aws").models
    rows: dict[str, list[Row]] = {}
    for model in models:
        model_id, scope = _id_and_scope(model, renamed)
        for since, prices in _dated_prices(model):
            row: Row = {} if scope is None else {"scope": scope}
            if since is not None:
                row["from"] = since.isoformat()
            row |= _rates(prices) | {"source": SOURCE, "seen": PACKAGE_SEEN.isoformat()}
            rows.setdefault(model_id, []).append(row)
    return rows


def _id_and_scope(model: ModelInfo, renamed: Mapping[str, str]) -> tuple[str, str | None]:
    """`global.` rows hold for global profiles, `regional.` and bare ones for everything else."""
    prefix, _, rest = model.id.partition(".")
    plain = rest if prefix in {"global", "regional"} else model.id
    return renamed.get(plain, plain), "global" if prefix == "global" else None


def _dated_prices(model: ModelInfo) -> Iterator[tuple[date | None, ModelPrice]]:
    if isinstance(model.prices, ModelPrice):
        yield None, model.prices
        return
    for conditional in model.prices:
        match conditional.constraint:
            case None:
                yield None, conditional.prices
            case StartDateConstraint(start_date=start):
                yield start, conditional.prices
            case other:
                raise SystemExit(f"{model.id}: this script does not know the constraint {other!r}")


def _rates(prices: ModelPrice) -> Row:
    rates: Row = {}
    above: dict[int, Row] = {}
    for name, keys in TOKEN_CLASSES.items():
        stated = [getattr(prices, key, None) for key in keys]
        stated = [price for price in stated if price is not None]
        if not stated:
            continue
        if any(isinstance(price, TieredPrices) for price in stated):
            (price,) = stated
            rates[name] = _text(price.base)
            for tier in price.tiers:
                above.setdefault(tier.start, {})[name] = _text(tier.price)
        else:
            rates[name] = _text(max(stated))
    return rates | ({"above": dict(sorted(above.items()))} if above else {})


def _text(price: Decimal) -> str:
    return format(price.normalize(), "f")


def merged(package: Mapping[str, list[Row]], own: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Our rows and the package's; ours take the place of those with the same conditions."""
    rows: dict[str, list[Row]] = {}
    for model in sorted({*package, *own}):
        ours = own.get(model, [])
        taken = {_conditions(row) for row in ours}
        theirs = [row for row in package.get(model, []) if _conditions(row) not in taken]
        rows[model] = sorted([*theirs, *ours], key=_conditions)
    return rows


def _conditions(row: Row) -> tuple[str, str, str, str]:
    return (
        str(row.get("tier", "")),
        str(row.get("scope", "")),
        " ".join(row.get("regions", ())),
        str(row.get("from", "")),
    )


def flow(value: Any, key: str = "") -> str:
    """A value as one line of YAML: decimals quoted, so that no reader makes floats of them."""
    if isinstance(value, Mapping):
        is_row = set(value) <= set(ROW_KEYS)
        names = [name for name in ROW_KEYS if name in value] if is_row else list(value)
        pairs = (f"{_key(name)}: {flow(value[name], str(name))}" for name in names)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, "text") for item in value) + "]"
    if key in {"tier", "scope", "from", "source", "seen", "max_output_tokens", "context_window"}:
        return str(value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def _key(name: Any) -> str:
    return f'"{name}"' if str(name).isdecimal() else str(name)


def prices_text(supplement: Mapping[str, Any]) -> str:
    """The whole of config/prices.yaml."""
    rows = merged(package_rows(supplement["ids"]), supplement["models"])
    sources = {
        SOURCE: f"{PACKAGE} {PACKAGE_VERSION} (MIT), provider aws, which cites the AWS price list",
        **supplement["sources"],
    }
    ceiling = supplement["ceiling"]
    lines = [
        "# What Bedrock's models cost. Made by scripts/generate_prices: do not edit. Own prices go",
        "# into an overrides file (config/price_overrides.example.yaml). Grammar: docs/prices.md.",
        "# Units: USD per million tokens; USD for each of `units` and `per_call`.",
        "version: 1",
        "",
        "sources:",
        *(f"  {name}: {flow(text)}" for name, text in sources.items()),
        "",
        f"fallbacks: {flow(supplement['fallbacks'])}",
        "",
        "ceiling:",
        *(f"  {name}: {flow(ceiling[name], name)}" for name in ceiling),
        "",
        f"units: {flow(supplement['units'])}",
        "",
        "models:",
    ]
    for model, model_rows in rows.items():
        lines.append(f"  {model}:")
        lines.extend(f"    - {flow(row)}" for row in model_rows)
    return "\n".join(lines) + "\n"


MODEL_KEYS = (
    "name", "provider", "family", "context_window", "max_output", "max_output_source", "can",
    "lifecycle", "end_of_life", "aliases",
)  # fmt: skip


def models_text(supplement: Mapping[str, Any], ids: Mapping[str, str]) -> str:
    """The whole of config/models.yaml: our notes, with the package's spellings as aliases."""
    models: dict[str, Row] = {model: dict(row) for model, row in supplement["models"].items()}
    for spelling, model in ids.items():
        models[model]["aliases"] = sorted({*models[model].get("aliases", ()), spelling})
    lines = [
        "# The models the gateway knows. Made by scripts/generate_prices: do not edit.",
        "# Units: tokens. `max_output: null`: no source states it; a call under a hard budget must",
        "# then state its own limit. Old models stay, with the date they ended.",
        "version: 1",
        "",
        "sources:",
        *(f"  {name}: {flow(text)}" for name, text in supplement["sources"].items()),
        "",
        "models:",
    ]
    for model, row in sorted(models.items()):
        lines.append(f"  {model}:")
        lines.extend(
            f"    {key}: {_model_value(key, row[key])}"
            for key in MODEL_KEYS
            if key in row and not (row[key] is None and key == "end_of_life")
        )
    return "\n".join(lines) + "\n"


def _model_value(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if key == "can":
        return f"[{', '.join(value)}]"
    if key in {"name", "aliases"}:
        return flow(value)
    return str(value)


def read(path: Path) -> dict[str, Any]:
    """A supplement as plain values; dates and numbers stay as they are written."""
    loader = yaml.BaseLoader if path.name == "price_supplement.yaml" else yaml.SafeLoader
    return dict(yaml.load(path.read_text(), Loader=loader))  # noqa: S506 - both loaders are safe


def main(arguments: list[str]) -> int:
    """Writes both files, or with --check says whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args(arguments).check
    prices = read(ROOT / "scripts/price_supplement.yaml")
    models = read(ROOT / "scripts/model_supplement.yaml")
    wanted = {
        ROOT / "config/prices.yaml": prices_text(prices),
        ROOT / "config/models.yaml": models_text(models, prices["ids"]),
    }
    stale = [path for path, text in wanted.items() if _current(path) != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'written'}")
        if not check:
            path.write_text(wanted[path])
    return 1 if check and stale else 0


def _current(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
