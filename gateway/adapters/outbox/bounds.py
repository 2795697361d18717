"""How much an outbox may keep, and how long it may wait."""

from __future__ import annotations

from dataclasses import dataclass

COMPONENT = "outbox"
"""What the observer hears it called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBounds:
    """Units: bytes, seconds.

    `total_bytes`: with more notes than that still owed, no further ones are taken. `kept_segments`:
    with more of them, what the oldest still pins is copied forward. `group_s`: how long a note may
    wait for its sync. `probe_bytes`: what a disk must take before it is trusted (again).
    """

    segment_bytes: int = 4 * 1024 * 1024
    segment_age_s: float = 60.0
    total_bytes: int = 256 * 1024 * 1024
    kept_segments: int = 4
    group_s: float = 0.05
    look_s: float = 1.0
    probe_bytes: int = 64 * 1024
