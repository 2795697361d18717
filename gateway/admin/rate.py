"""How often one credential may use one route of the admin API, counted in this process."""

from __future__ import annotations

from collections import OrderedDict

from gateway.admin.route import Rate

_MOST_REMEMBERED = 20_000
_MINUTE_S = 60.0


class RouteRates:
    """Buckets by credential and route (GCRA: one instant for each). Units: seconds, monotonic.

    Bounded: what was not used for longest is forgotten first, and by then is full again.
    """

    def __init__(self) -> None:
        self._full_at_s: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, credential: str, route: str, rate: Rate, now_s: float) -> float | None:
        """Takes one; None, or in how many seconds there is one again."""
        each_s = _MINUTE_S / rate.per_minute
        name = (credential, route)
        full_at_s = max(self._full_at_s.get(name, now_s), now_s) + each_s
        wait_s = full_at_s - now_s - each_s * rate.burst
        if wait_s > 0:
            return wait_s
        self._full_at_s[name] = full_at_s
        self._full_at_s.move_to_end(name)
        while len(self._full_at_s) > _MOST_REMEMBERED:
            self._full_at_s.popitem(last=False)
        return None
