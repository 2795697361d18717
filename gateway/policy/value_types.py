"""The amounts and times that may stand in a policy file, and what a part of the grammar is.

Each type says in an error what was expected, in JSON Schema what an editor may offer, and how it
is written again (rules made by API are kept as JSON).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from gateway.domain.money import MAX_NANO_USD, NanoUsd, format_usd, to_nano_usd, to_usd

MAX_EARLIER = 31
"""How many whole periods before the current one a rolling budget may count."""
MAX_RATE = 10**12

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})
_PERCENT = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?)%")
_USD = re.compile(r"([0-9][0-9_]{0,11}(?:\.[0-9]{1,9})?) USD")
_MAX_PERCENT = 1000
_MAX_DURATION = timedelta(days=366)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Part(BaseModel):
    """A part of the grammar: an unknown key is an error, and nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True)
class WarnLevel:
    """When a budget warns: at a part of its limit, or at an amount. Exactly one is set."""

    percent: Decimal | None = None
    usd: NanoUsd | None = None

    def amount(self, ceiling: NanoUsd) -> NanoUsd:
        """The spend that crosses the level, rounded up. Units: nano-USD."""
        if self.percent is None:
            return self.usd or NanoUsd(0)
        part = self.percent.as_integer_ratio()
        return NanoUsd(-(-ceiling * part[0] // (100 * part[1])))

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{self.percent:f}%"
        return f"{format_usd(self.usd or NanoUsd(0))} USD"


def _version(value: Any) -> int:
    if type(value) is not int or value != 1:
        raise ValueError(f"expected 1, the only form that this gateway reads, got {brief(value)}")
    return value


def _amount(value: Any) -> NanoUsd:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        # pydantic gives a place in the file to ValueError only.
        raise ValueError(  # noqa: TRY004 - see above
            f"expected an amount in USD such as 5000 or 0.25, got {brief(value)}"
        )
    amount = Decimal(value)
    try:
        nano = to_nano_usd(amount)
    except ValueError as exc:
        largest = format_usd(MAX_NANO_USD)
        raise ValueError(f"expected an amount from 0 to {largest} USD, got {brief(value)}") from exc
    if to_usd(nano) != amount:
        raise ValueError(f"expected at most nine decimals (nano-USD), got {brief(value)}")
    return nano


def _written_amount(value: Any) -> NanoUsd:
    """An amount from JSON: there, text such as "0.25" is exact, and a float its shortest text."""
    text = repr(value) if isinstance(value, float) else value
    if isinstance(text, str):
        if _DECIMAL.fullmatch(text) is None:
            raise ValueError(f"expected an amount in USD such as 5000 or 0.25, got {brief(value)}")
        return _amount(Decimal(text))
    return _amount(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_RATE:
        raise ValueError(f"expected a whole number from 1 to {MAX_RATE}, got {brief(value)}")
    return value


def _earlier(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EARLIER:
        raise ValueError(f"expected how many whole periods, 1 to {MAX_EARLIER}, got {brief(value)}")
    return value


def _attempts(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:  # noqa: PLR2004 - stated in the message
        raise ValueError(f"expected how often a call is sent at most, 1 to 5, got {brief(value)}")
    return value


def _zone(value: Any) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    try:
        if value in _NO_PLACES or value.startswith(("posix/", "right/")):
            raise ValueError  # noqa: TRY301 - they are files beside the zones, one the host's own
        return ZoneInfo(value)
    except Exception as exc:  # zoneinfo raises whatever the file system does
        what = f"expected a time zone such as Europe/Berlin, got {brief(value)}"
        close = _nearest_zone(value) if isinstance(value, str) else None
        raise ValueError(f"{what}: did you mean {close!r}?" if close else what) from exc


def _nearest_zone(text: str) -> str | None:
    """The zone that was meant: by its name, or by its city alone."""
    known = {zone.lower(): zone for zone in sorted(available_timezones() - _NO_PLACES)}
    wanted = text[:80].strip().lower().replace(" ", "_")
    cities = {name.rpartition("/")[2]: zone for name, zone in known.items()}
    for names in (known, cities):
        close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.75)
        if close:
            return names[close[0]]
    return None


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    parts = _DURATION.fullmatch(value) if isinstance(value, str) else None
    length = timedelta(seconds=int(parts[1]) * _SECONDS[parts[2]]) if parts else timedelta()
    if not timedelta() < length <= _MAX_DURATION:
        raise ValueError(f"expected a time such as 30s, 90m, 24h or 7d, got {brief(value)}")
    return length


def _warn_level(value: Any) -> WarnLevel:
    if isinstance(value, WarnLevel):
        return value
    text = value if isinstance(value, str) else ""
    if percent := _PERCENT.fullmatch(text):
        if 0 < (part := Decimal(percent[1])) <= _MAX_PERCENT:
            return WarnLevel(percent=part)
    elif usd := _USD.fullmatch(text):
        return WarnLevel(usd=_amount(Decimal(usd[1].replace("_", ""))))
    raise ValueError(f"expected a level such as 80% or 4000 USD, got {brief(value)}")


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {brief(value)}")  # noqa: TRY004 - see above
    return value


def brief(value: Any) -> str:
    """What was written, short enough to be shown."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(str(value) if isinstance(value, Decimal) else value)
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - a line of text


def duration_text(length: timedelta) -> str:
    """The time as policies write it."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def schema(**parts: Any) -> WithJsonSchema:
    """What JSON Schema says of a value."""
    return WithJsonSchema(parts, mode="validation")


_USD_SCHEMA = {"type": "number", "minimum": 0, "maximum": 9_007_199.254740991}
AS_TEXT = PlainSerializer(str, when_used="json")
"""Written in JSON as its text."""
_as_usd = PlainSerializer(format_usd, when_used="json")

Switch = Annotated[bool, BeforeValidator(_switch), schema(type="boolean")]
Version = Annotated[int, BeforeValidator(_version), schema(const=1)]
Amount = Annotated[NanoUsd, BeforeValidator(_amount), _as_usd, schema(**_USD_SCHEMA)]
WrittenAmount = Annotated[
    NanoUsd,
    BeforeValidator(_written_amount),
    _as_usd,
    schema(anyOf=[_USD_SCHEMA, {"type": "string", "pattern": f"^{_DECIMAL.pattern}$"}]),
]
Count = Annotated[int, BeforeValidator(_count), schema(type="integer", minimum=1, maximum=MAX_RATE)]
Earlier = Annotated[
    int, BeforeValidator(_earlier), schema(type="integer", minimum=1, maximum=MAX_EARLIER)
]
Attempts = Annotated[int, BeforeValidator(_attempts), schema(type="integer", minimum=1, maximum=5)]
Zone = Annotated[
    ZoneInfo,
    BeforeValidator(_zone),
    AS_TEXT,
    schema(type="string", examples=["UTC", "Europe/Berlin", "America/New_York"]),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, when_used="json"),
    schema(type="string", pattern=f"^{_DURATION.pattern}$", examples=["30s", "90m", "24h", "7d"]),
]
WarnAt = Annotated[
    WarnLevel,
    BeforeValidator(_warn_level),
    AS_TEXT,
    schema(
        type="string",
        pattern=f"^({_PERCENT.pattern}|{_USD.pattern})$",
        examples=["80%", "4000 USD"],
    ),
]
