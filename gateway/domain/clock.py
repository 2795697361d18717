"""Time as a port: rules are told the time, they never look at a clock."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The two clocks a process has. Fakes move them by hand."""

    def now(self) -> datetime:
        """The instant, aware, in UTC. For signatures, records and calendars."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back. For durations and deadlines."""
        ...
