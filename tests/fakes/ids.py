"""Ids that can be foretold."""

from __future__ import annotations

import itertools

from gateway.domain.ids import RequestId


class FakeIds:
    """Counts: `req-000001`, `req-000002`, …"""

    def __init__(self, prefix: str = "req-") -> None:
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def request_id(self) -> RequestId:
        return RequestId(f"{self._prefix}{next(self._numbers):06d}")
