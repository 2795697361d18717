"""Who is told what happens in a process."""

from __future__ import annotations

import os
from collections.abc import Callable

from gateway.adapters.telemetry.logs import LogObserver, quiet_libraries
from gateway.domain.observer import ComponentFailed, Fact, Observer
from gateway.settings import Settings


def make_observer(settings: Settings, role: str) -> Observer:
    """The observer of a process, which from now on is the only one that writes to its log."""
    quiet_libraries()
    return LogObserver(level=settings.log_level, process=f"{role}-{os.getpid()}")


class CommandObserver:
    """Implements `domain.observer.Observer` for a command: says what goes wrong, nothing else."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def tell(self, fact: Fact) -> None:
        """Says what went wrong."""
        if isinstance(fact, ComponentFailed):
            self._say(f"{fact.component}: {fact.detail}")
