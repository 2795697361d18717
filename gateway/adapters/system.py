"""The machine's clocks and randomness: the only place that reads them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from gateway.domain.ids import RequestId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, as ULIDs use


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """The instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class RandomIds:
    """Ids of 26 characters: 48 bits of time, 80 bits of randomness (a ULID in lower case)."""

    def request_id(self) -> RequestId:
        """A new id; sorts by millisecond of making."""
        number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
        return RequestId("".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)))
