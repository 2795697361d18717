"""Who is told what happens in a process."""

from __future__ import annotations

import os

from gateway.adapters.telemetry.logs import LogObserver, quiet_libraries
from gateway.domain.observer import Observer
from gateway.settings import Settings


def make_observer(settings: Settings, role: str) -> Observer:
    """The observer of a process, which from now on is the only one that writes to its log."""
    quiet_libraries()
    return LogObserver(level=settings.log_level, process=f"{role}-{os.getpid()}")
