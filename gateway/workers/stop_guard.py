"""When a supervisor gives a child up that does not act upon an emergency stop.

A frozen process cuts no stream and keeps its sockets open, so its callers go on reading what lies
in between, and get the rest when it thaws. It is killed; its holds are charged as those of any dead
worker are (docs/emergency.md). Why only then: docs/adr.
"""

from __future__ import annotations

SILENT_S = 0.5
"""Longer than any pause of a healthy process; with a poll of 250 ms before it, under a second."""

_GRACE_S = 0.1
_TICK_S = 0.05
_STARVED_S = 0.2


class StopGuard:
    """What a supervisor knows of one child: what it was told, acted upon, and last said.

    Units: seconds of one monotonic clock. `number` of the word it was told last; 0: of no stop.
    """

    __slots__ = ("_acted_upon", "_heard_s", "_number", "_told_s", "_was_silent")

    def __init__(self, now_s: float) -> None:
        self._heard_s = now_s
        self._told_s = now_s
        self._number = 0  # the first word that it owes an answer to
        self._acted_upon = 0
        self._was_silent = False

    def told(self, number: int, now_s: float, *, is_stop: bool) -> None:
        """It was told what stands now. Only a stop has to be acted upon in time."""
        if is_stop and self._number <= self._acted_upon:
            self._number, self._told_s = number, now_s

    def heard(self, number: int, now_s: float) -> None:
        """It said that it acted upon the word of that number."""
        self._heard_s = now_s
        self._acted_upon = max(self._acted_upon, number)

    def is_given_up(self, now_s: float) -> bool:
        """Whether it has to be killed: it owes an answer to a stop, and has been silent too long.

        One that was silent before it was told gets a moment, not the whole time again. One that
        talks, and does not act, is given up as well.
        """
        if self._number <= self._acted_upon:
            return False
        late_s = max(self._told_s + _GRACE_S, self._heard_s + SILENT_S)
        return now_s >= min(self._told_s + SILENT_S, late_s)

    def silent_s(self, now_s: float) -> float:
        """How long it has said nothing."""
        return now_s - self._heard_s

    def falls_silent(self, now_s: float) -> bool:
        """Whether it has just become silent: said once for each time."""
        was, self._was_silent = self._was_silent, self.silent_s(now_s) >= SILENT_S
        return self._was_silent and not was

    def forgive(self, pause_s: float) -> None:
        """Nobody listened for so long: what was said meanwhile has not been read yet."""
        self._heard_s += pause_s
        self._told_s += pause_s


class Ticks:
    """The supervisor's own pace. One that was frozen or starved itself must not blame others."""

    __slots__ = ("_at_s",)

    def __init__(self, now_s: float) -> None:
        self._at_s = now_s

    pause_s = _TICK_S

    def missed_s(self, now_s: float) -> float:
        """How long the supervisor itself was away since the last tick, if it was."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        return passed_s - _TICK_S if passed_s > _STARVED_S else 0.0
