"""Health on the data port, for load balancers: is the process there, may it get traffic?"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


class Health:
    """Answers `/_gateway/live` and `/_gateway/ready`; nothing else of the gateway is public here."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    def answer(self, method: str, raw_path: str) -> web.Response | None:
        """The answer to a health request, or None if it is not one."""
        if not raw_path.startswith("/_gateway/"):
            return None
        if method not in ("GET", "HEAD"):
            return web.Response(status=405, text="use GET\n")
        if raw_path == "/_gateway/live":
            return web.Response(text="live\n")
        if raw_path == "/_gateway/ready":
            ready = self._is_ready()
            return web.Response(
                status=200 if ready else 503, text="ready\n" if ready else "not ready\n"
            )
        return web.Response(status=404, text="not found\n")
